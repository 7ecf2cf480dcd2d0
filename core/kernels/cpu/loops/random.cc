// Dropout's mask: Philox 4x32-10 (Salmon et al. 2011; core/base/philox.h) for 16 counters at a time.
#include "core/kernels/cpu/loops/families.h"

namespace synthesizer::SYNTHESIZER_ISA {
namespace {

constexpr int kLanes = 16;  // counters at a time, four elements each

// words[4·lane + w]: word w of counter group + lane.
inline void draw(const DropoutStream& stream, uint64_t group, uint32_t* words) {
  uint32_t c0[kLanes], c1[kLanes], c2[kLanes], c3[kLanes];
#pragma omp simd
  for (int i = 0; i < kLanes; ++i) {
    const uint64_t g = group + static_cast<uint64_t>(i);
    c0[i] = static_cast<uint32_t>(g);
    c1[i] = static_cast<uint32_t>(g >> 32) ^ stream.step_high;
    c2[i] = stream.step_low;
    c3[i] = stream.name_low;
  }
  uint32_t key0 = stream.key0, key1 = stream.key1;
  for (int round = 0; round < 10; ++round) {
#pragma omp simd
    for (int i = 0; i < kLanes; ++i) {
      const uint64_t product0 = uint64_t{0xD2511F53u} * c0[i];
      const uint64_t product1 = uint64_t{0xCD9E8D57u} * c2[i];
      const uint32_t next0 = static_cast<uint32_t>(product1 >> 32) ^ c1[i] ^ key0;
      const uint32_t next2 = static_cast<uint32_t>(product0 >> 32) ^ c3[i] ^ key1;
      c0[i] = next0;
      c1[i] = static_cast<uint32_t>(product1);
      c2[i] = next2;
      c3[i] = static_cast<uint32_t>(product0);
    }
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  for (int i = 0; i < kLanes; ++i) {
    words[4 * i] = c0[i];
    words[4 * i + 1] = c1[i];
    words[4 * i + 2] = c2[i];
    words[4 * i + 3] = c3[i];
  }
}

template <typename T>
void dropout_mask(const DropoutStream& stream, uint64_t first, int64_t n, Compute<T> scale, Compute<T>* mask) {
  uint32_t words[4 * kLanes];
  int64_t skip = static_cast<int64_t>(first % 4);  // words of the first counter that belong to earlier elements
  uint64_t group = first / 4;
  for (int64_t done = 0; done < n; group += kLanes) {
    draw(stream, group, words);
    const int64_t count = 4 * kLanes - skip < n - done ? 4 * kLanes - skip : n - done;
    const uint32_t* word = words + skip;
    Compute<T>* out = mask + done;
#pragma omp simd
    for (int64_t i = 0; i < count; ++i) out[i] = (word[i] >> 8) >= stream.threshold ? scale : Compute<T>(0);
    done += count;
    skip = 0;
  }
}

}  // namespace

template <typename T>
void add_random(Loops<T>& loops) {
  loops.dropout_mask = dropout_mask<T>;
}
template void add_random(Loops<float>&);
template void add_random(Loops<double>&);
template void add_random(Loops<BFloat16>&);

}  // namespace synthesizer::SYNTHESIZER_ISA
