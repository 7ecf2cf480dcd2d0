// Copies along new dims.
#include "core/kernels/cuda/device/device_code.h"
#include "core/kernels/cuda/device/walk.h"
#include "core/kernels/cuda/kernel_case.h"
#include "core/kernels/cuda/runtime/launch.h"
#include "core/ops/reduce.h"

namespace synthesizer::cuda {
namespace {

// y is written kPacked elements at a time, which lie in one row: in x they are side by side (or one, if `fills`).
template <int kPacked, typename T>
__global__ void broadcast_kernel(const T* x, T* y, int64_t packs, DeviceWalk<1> walk, bool fills) {
  for (int64_t p = thread_of_grid(); p < packs; p += threads_of_grid()) {
    const T* from = x + walk.offset(p * kPacked);
    Pack<T, kPacked> made;
    if (fills)
      for (int i = 0; i < kPacked; ++i) made.at[i] = *from;
    else
      made = *reinterpret_cast<const Pack<T, kPacked>*>(from);
    reinterpret_cast<Pack<T, kPacked>*>(y)[p] = made;
  }
}

template <typename T>
class BroadcastKernel : public Kernel {
 public:
  explicit BroadcastKernel(const KernelCase& c) : stream_(c.context.stream), count_(c.out(0).elements()) {
    const Shape* shapes[1] = {&c.in(0)};
    Walk walk(c.out(0).dims(), shapes);
    walk.merge();
    walk_ = DeviceWalk<1>(walk);
    int64_t strides[Walk::kTensors];
    bool packed = walk.take_last(strides) % kPack<T> == 0 && strides[0] < 2;
    fills_ = strides[0] == 0;
    for (int d = 0; d < walk.rank; ++d) packed = packed && (fills_ || walk.stride[0][d] % kPack<T> == 0);
    packed_ = packed;
  }

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void*) override {
    const T* x = input<T>(inputs, 0);
    T* y = output<T>(outputs, 0);
    const int64_t packs = packed_ ? count_ / kPack<T> : count_;
    launch(stream_, {"broadcast_kernel", blocks_for(packs)},
           packed_ ? broadcast_kernel<kPack<T>, T> : broadcast_kernel<1, T>, x, y, packs, walk_, fills_);
  }

 private:
  cudaStream_t stream_;
  int64_t count_;
  DeviceWalk<1> walk_;
  bool packed_, fills_;
};

}  // namespace

std::span<const KernelEntry> broadcast_kernels() {
  static const KernelEntry kEntries[] = {{&typeid(Broadcast), make_by_output<BroadcastKernel>, nullptr}};
  return kEntries;
}

}  // namespace synthesizer::cuda
