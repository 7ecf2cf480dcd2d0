// Dropout: the bits are those of core/ops/dropout.h, whatever the layout. No mask is kept: a thread draws the four
// words of a counter for four elements, which costs less than the memory they come from.
#include <algorithm>
#include <cmath>
#include <vector>

#include "core/base/philox.h"
#include "core/kernels/cuda/kernel_case.h"
#include "core/kernels/cuda/launch.h"
#include "core/kernels/cuda/walk.h"
#include "core/ops/dropout.h"

namespace synthesizer::cuda {
namespace {

// Of a counter of Philox the words that do not depend on the element or the step, and where x's elements lie in the
// whole mask.
struct Draw {
  uint32_t key0, key1, name_low;
  uint32_t threshold;  // kept if word >> 8 is at least this
  int64_t first, between_micro_batches;
  int64_t stride;  // in the mask, of neighbours in x
};

class Words {
 public:
  __device__ Words(const Draw& draw, int64_t step) : draw_(draw), step_(static_cast<uint64_t>(step)) {}

  __device__ PhiloxCounter of(uint64_t group) const {
    return philox(
        {static_cast<uint32_t>(group), static_cast<uint32_t>(group >> 32) ^ static_cast<uint32_t>(step_ >> 32),
         static_cast<uint32_t>(step_), draw_.name_low},
        {draw_.key0, draw_.key1});
  }
  __device__ uint32_t of_element(uint64_t element) const {
    const PhiloxCounter words = of(element / 4);
    const uint32_t low = element & 1 ? words[1] : words[0], high = element & 1 ? words[3] : words[2];
    return element & 2 ? high : low;
  }
  // Those of four neighbours, which may lie in two counters. (Every index is known when this is compiled, so that
  // nothing leaves the registers.)
  __device__ PhiloxCounter of_four(uint64_t element) const {
    const PhiloxCounter here = of(element / 4);
    if (element % 4 == 0) return here;
    const PhiloxCounter next = of(element / 4 + 1);
    uint32_t all[7] = {here[0], here[1], here[2], here[3], next[0], next[1], next[2]};
    if (element & 1)
      for (int i = 0; i < 6; ++i) all[i] = all[i + 1];
    if (element & 2)
      for (int i = 0; i < 4; ++i) all[i] = all[i + 2];
    return {all[0], all[1], all[2], all[3]};
  }

 private:
  const Draw& draw_;
  uint64_t step_;
};

// kPacked (4 or 1) elements a thread; with 4, what is left of n is a thread's each. `micro_batch` may be null.
template <typename T, int kPacked>
__global__ void dropout_kernel(const T* x, const int64_t* step, const int64_t* micro_batch, T* y, int64_t n,
                               Compute<T> scale, Draw draw, DeviceWalk<1> walk) {
  const Words words(draw, *step);
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

bool is_shared(const Dropout& op, const std::string& dim) {
  return std::find(op.shared().begin(), op.shared().end(), dim) != op.shared().end();
}

// The whole mask: that of the step's whole batch, without the shared dims; and where x's first element is in it.
class WholeMask {
 public:
  explicit WholeMask(const Dropout& op, const Shape& x) {
    std::vector<Dim> dims;
    std::vector<int64_t> begin;
    for (size_t i = 0; i < op.block().whole.rank(); ++i) {
      if (is_shared(op, op.block().whole.dims()[i].name)) continue;
      dims.push_back(op.block().whole.dims()[i]);
      begin.push_back(op.block().begin[i]);
    }
    int64_t rows_between = 0;
    const MicroBatches& parts = op.micro_batches();
    const auto batch = std::find_if(dims.begin(), dims.end(), [](const Dim& dim) { return dim.name == kBatch.name; });
    if (parts.count > 1 && batch != dims.end()) {
      rows_between = parts.interleaved ? batch->size : x.size(kBatch.name);
      batch->size *= parts.count;
      if (!parts.interleaved) begin[static_cast<size_t>(batch - dims.begin())] *= parts.count;
    }
    shape = Shape(dims);
    const std::vector<int64_t> strides = shape.strides();
    for (size_t i = 0; i < dims.size(); ++i) first += begin[i] * strides[i];
    between_micro_batches = rows_between * stride_of(shape, kBatch.name);
  }

  Shape shape;
  int64_t first = 0, between_micro_batches;  // elements
};

template <typename T>
class DropoutKernel : public Kernel {
 public:
  explicit DropoutKernel(const KernelCase& c) : stream_(c.context.stream), count_(c.in(0).elements()) {
    const Dropout& op = c.as<Dropout>();
    const WholeMask mask(op, c.in(0));
    const PhiloxKey key = philox_key(op.seed() ^ (op.name_hash() >> 32 << 32));
    draw_ = {key[0], key[1], static_cast<uint32_t>(op.name_hash()),
             // uniform_float(word) >= rate, in the integers it is made of.
             static_cast<uint32_t>(std::ceil(op.rate() * 16777216.0)), mask.first, mask.between_micro_batches, 0};
    scale_ = static_cast<Compute<T>>(1.0 / (1.0 - op.rate()));
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
  Draw draw_;
  Compute<T> scale_;
  DeviceWalk<1> walk_;
  void (*kernel_)(const T*, const int64_t*, const int64_t*, T*, int64_t, Compute<T>, Draw, DeviceWalk<1>) = nullptr;
};

}  // namespace

std::span<const KernelEntry> dropout_kernels() {
  static const KernelEntry kEntries[] = {{&typeid(Dropout), make_by_output<DropoutKernel>, nullptr}};
  return kEntries;
}

}  // namespace synthesizer::cuda
