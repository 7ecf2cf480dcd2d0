// Operations of a warp: the lanes that a mask names meet, and what each brought is handed round.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "cuda_shim/where.h"

namespace cuda_shim {

struct WarpCall;
// Computes every lane's result when all have come: lanes[l] is nullptr where the mask does not name lane l.
using WarpWork = void (*)(WarpCall* const lanes[32]);

// What one lane brings to an operation, and takes from it. Lanes meet that bring the same mask and the same work.
struct WarpCall {
  unsigned mask;
  WarpWork work;
  const char* name;
  Where where;
  uint64_t value = 0;    // brought, and then the result
  int source = 0;        // the lane whose value this one gets
  void* data = nullptr;  // what other works need
};

// Waits until all lanes of the mask have come and the work is done. Throws std::runtime_error, which ends the launch,
// if the mask does not name the calling lane.
void meet(WarpCall& call);

// Lanes of the calling warp that have not returned.
unsigned active_lanes();
int lane();

void work_nothing(WarpCall* const lanes[32]);
void work_shuffle(WarpCall* const lanes[32]);  // value = the value of lane `source`
void work_ballot(WarpCall* const lanes[32]);   // value = bit l tells whether lane l's value is not 0

template <typename T>
inline T shuffle(unsigned mask, T value, int source, const char* name, const Where& where) {
  static_assert(std::is_arithmetic_v<T> && (sizeof(T) == 4 || sizeof(T) == 8), "shuffles take 32 or 64 bits");
  WarpCall call{mask, work_shuffle, name, where};
  std::memcpy(&call.value, &value, sizeof value);
  call.source = source;
  meet(call);
  std::memcpy(&value, &call.value, sizeof value);
  return value;
}

inline unsigned ballot(unsigned mask, int predicate, const char* name, const Where& where) {
  WarpCall call{mask, work_ballot, name, where};
  call.value = predicate != 0;
  meet(call);
  return static_cast<unsigned>(call.value);
}

}  // namespace cuda_shim

inline void __syncwarp(unsigned mask = ~0u, const cuda_shim::Where& where = cuda_shim::Where::here()) {
  cuda_shim::WarpCall call{mask, cuda_shim::work_nothing, "__syncwarp", where};
  cuda_shim::meet(call);
}

// Segments of `width` lanes, a power of two, shuffle among themselves; a lane whose source lies outside keeps its
// value.
template <typename T>
inline T __shfl_sync(unsigned mask, T value, int source, int width = 32,
                     const cuda_shim::Where& where = cuda_shim::Where::here()) {
  const int first = cuda_shim::lane() & ~(width - 1);
  return cuda_shim::shuffle(mask, value, first + (source & (width - 1)), "__shfl_sync", where);
}
template <typename T>
inline T __shfl_xor_sync(unsigned mask, T value, int lanes, int width = 32,
                         const cuda_shim::Where& where = cuda_shim::Where::here()) {
  const int own = cuda_shim::lane(), source = own ^ lanes;
  // Lanes of an earlier segment may be read, those of a later one not.
  return cuda_shim::shuffle(mask, value, source <= (own | (width - 1)) ? source : own, "__shfl_xor_sync", where);
}
template <typename T>
inline T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32,
                          const cuda_shim::Where& where = cuda_shim::Where::here()) {
  const int own = cuda_shim::lane(), source = own + static_cast<int>(delta);
  return cuda_shim::shuffle(mask, value, source <= (own | (width - 1)) ? source : own, "__shfl_down_sync", where);
}
template <typename T>
inline T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32,
                        const cuda_shim::Where& where = cuda_shim::Where::here()) {
  const int own = cuda_shim::lane(), source = own - static_cast<int>(delta);
  return cuda_shim::shuffle(mask, value, source >= (own & ~(width - 1)) ? source : own, "__shfl_up_sync", where);
}

inline unsigned __ballot_sync(unsigned mask, int predicate, const cuda_shim::Where& where = cuda_shim::Where::here()) {
  return cuda_shim::ballot(mask, predicate, "__ballot_sync", where);
}
inline int __any_sync(unsigned mask, int predicate, const cuda_shim::Where& where = cuda_shim::Where::here()) {
  return cuda_shim::ballot(mask, predicate, "__any_sync", where) != 0;
}
inline int __all_sync(unsigned mask, int predicate, const cuda_shim::Where& where = cuda_shim::Where::here()) {
  return cuda_shim::ballot(mask, predicate, "__all_sync", where) == mask;
}
// Lanes that have not returned: those that wait elsewhere count too, as a device may say or not.
inline unsigned __activemask() { return cuda_shim::active_lanes(); }
