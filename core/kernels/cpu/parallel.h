// Sharing out loops among OpenMP threads, without any global setting.
#pragma once

#include <omp.h>

#include <algorithm>
#include <cstdint>

namespace synthesizer {

// Calls body(begin, end) for ranges that together are [0, count). `cost`: elements an index stands for; a thread gets
// at least about 8,000. For bodies whose result does not depend on where the ranges are cut.
template <typename Body>
void parallel_ranges(int threads, int64_t count, int64_t cost, const Body& body) {
  const int64_t useful = std::min(count, count * std::max<int64_t>(cost, 1) / 8192);
  const int team = static_cast<int>(std::clamp<int64_t>(useful, 1, threads));
  if (team == 1) {
    body(int64_t{0}, count);
    return;
  }
#pragma omp parallel num_threads(team)
  {
    const int64_t size = omp_get_num_threads(), rank = omp_get_thread_num();
    body(count * rank / size, count * (rank + 1) / size);
  }
}

// Calls body(i) for each i of [0, count), each by whichever thread is free: for few, long pieces of unequal length
// whose results do not depend on the thread.
template <typename Body>
void parallel_pieces(int threads, int64_t count, int64_t cost, const Body& body) {
  const int64_t useful = std::min(count, count * std::max<int64_t>(cost, 1) / 8192);
  const int team = static_cast<int>(std::clamp<int64_t>(useful, 1, threads));
#pragma omp parallel for num_threads(team) schedule(dynamic, 1) if (team > 1)
  for (int64_t i = 0; i < count; ++i) body(i);
}

}  // namespace synthesizer
