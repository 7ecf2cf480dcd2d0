// Dropout: the bits are those of core/ops/dropout.h, whatever the layout. No mask is kept: a thread draws the four
// words of a counter for four elements, which costs less than the memory they come from.
#include "core/kernels/cuda/device/walk.h"
#include "core/kernels/cuda/dropout_words.h"
#include "core/kernels/cuda/kernel_case.h"
#include "core/kernels/cuda/runtime/launch.h"
#include "core/kernels/dropout_mask.h"

namespace synthesizer::cuda {
namespace {

// kPacked (4 or 1) elements a thread; with 4, what is left of n is a thread's each. `micro_batch` may be null.
template <typename T, int kPacked>
__global__ void dropout_kernel(const T* x, const int64_t* step, const int64_t* micro_batch, T* y, int64_t n,
                               Compute<T> scale, DropoutDraw draw, DeviceWalk<1> walk) {
  const DropoutWords words(draw, *step);
  const int64_t first = draw.first + (micro_batch == nullptr ? 0 : *micro_batch * draw.between_micro_batches);
  const auto kept = [&](T value, uint32_t word) {
    return rounded<T>(widened(value) * ((word >> 8) >= draw.threshold ? scale : Compute<T>(0)));
  };
  const int64_t packs = n / kPacked;
  for (int64_t p = thread_of_grid(); kPacked > 1 && p < packs; p += threads_of_grid()) {
    const auto element = static_cast<uint64_t>(first + walk.offset(p * kPacked));
    const auto seen = reinterpret_cast<const Pack<T, kPacked>*>(x)[p];
    Pack<T, kPacked> made;
    if (draw.stride == 0) {
      const uint32_t word = words.of_element(element);
      for (int k = 0; k < kPacked; ++k) made.at[k] = kept(seen.at[k], word);
    } else {
      const PhiloxCounter four = words.of_four(element);
      for (int k = 0; k < kPacked; ++k) made.at[k] = kept(seen.at[k], four[static_cast<size_t>(k)]);
    }
    reinterpret_cast<Pack<T, kPacked>*>(y)[p] = made;
  }
  for (int64_t i = (kPacked > 1 ? packs * kPacked : 0) + thread_of_grid(); i < n; i += threads_of_grid())
    y[i] = kept(x[i], words.of_element(static_cast<uint64_t>(first + walk.offset(i))));
}

template <typename T>
class DropoutKernel : public Kernel {
 public:
  explicit DropoutKernel(const KernelCase& c) : stream_(c.context.stream), count_(c.in(0).elements()) {
    const Dropout& op = c.as<Dropout>();
    const WholeMask mask(op, c.in(0));
    const DropoutKey key(op);
    draw_ = {key.key0, key.key1, key.name_low, key.threshold, mask.first, mask.between_micro_batches, 0};
    scale_ = static_cast<Compute<T>>(key.scale);
    const Shape* shapes[1] = {&mask.shape};
    Walk walk(c.in(0).dims(), shapes);
    walk.merge();
    walk_ = DeviceWalk<1>(walk);
    if (walk.rank > 0) draw_.stride = walk.stride[0][walk.rank - 1];
    // Four elements at once must be neighbours in the mask too, or all the same there.
    const bool whole_rows = walk.rank <= 1 || walk.size[walk.rank - 1] % 4 == 0;
    kernel_ = draw_.stride <= 1 && whole_rows ? dropout_kernel<T, 4> : dropout_kernel<T, 1>;
  }

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void*) override {
    const int64_t* micro_batch = draw_.between_micro_batches > 0 ? input<int64_t>(inputs, 2) : nullptr;
    launch(stream_, {"dropout_kernel", blocks_for(count_ / 4)}, kernel_, input<T>(inputs, 0), input<int64_t>(inputs, 1),
           micro_batch, output<T>(outputs, 0), count_, scale_, draw_, walk_);
  }

 private:
  cudaStream_t stream_;
  int64_t count_;
  DropoutDraw draw_;
  Compute<T> scale_;
  DeviceWalk<1> walk_;
  void (*kernel_)(const T*, const int64_t*, const int64_t*, T*, int64_t, Compute<T>, DropoutDraw,
                  DeviceWalk<1>) = nullptr;
};

}  // namespace

std::span<const KernelEntry> dropout_kernels() {
  static const KernelEntry kEntries[] = {{&typeid(Dropout), make_by_output<DropoutKernel>, nullptr}};
  return kEntries;
}

}  // namespace synthesizer::cuda
