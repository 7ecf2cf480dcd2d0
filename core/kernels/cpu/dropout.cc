// Dropout: the bits are those of core/ops/dropout.h, whatever the layout. The mask is made once for each of its
// elements.
#include <vector>

#include "core/kernels/cpu/kernel_case.h"
#include "core/kernels/cpu/parallel.h"
#include "core/kernels/dropout_mask.h"
#include "core/kernels/geometry.h"

namespace synthesizer {
namespace {

bool is_shared(const Dropout& op, const std::string& dim) {
  for (const std::string& shared : op.shared())
    if (shared == dim) return true;
  return false;
}

std::vector<Dim> mask_dims(const Dropout& op, const Shape& x) {
  std::vector<Dim> dims;
  for (const Dim& dim : x.dims())
    if (!is_shared(op, dim.name)) dims.push_back(dim);
  return dims;
}

// A mask that is shared along a dim is kept; one with all of x's elements is used as it is drawn.
int64_t dropout_workspace(const KernelCase& c) {
  const Shape mask(mask_dims(c.as<Dropout>(), c.in(0)));
  return mask.elements() < c.in(0).elements() ? mask.elements() * size_of(compute_type(c.outputs[0].dtype)) : 0;
}

template <typename T>
class DropoutKernel : public Kernel {
 public:
  explicit DropoutKernel(const KernelCase& c) : context_(c.context) {
    const Dropout& op = c.as<Dropout>();
    const Shape mask(mask_dims(op, c.in(0)));
    walk_mask(op, c.in(0), mask);
    walk_product(c.in(0), mask);
    shared_ = mask.elements() < c.in(0).elements();
    const DropoutKey key(op);
    stream_ = {key.key0, key.key1, 0, 0, key.name_low, key.threshold};
    scale_ = static_cast<Compute<T>>(key.scale);
  }

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void* workspace) override {
    const uint64_t step = static_cast<uint64_t>(*input<int64_t>(inputs, 1));
    if (micro_batch_stride_ > 0) first_ = begin_ + *input<int64_t>(inputs, 2) * micro_batch_stride_;
    DropoutStream stream = stream_;
    stream.step_low = static_cast<uint32_t>(step);
    stream.step_high = static_cast<uint32_t>(step >> 32);
    const T* x = input<T>(inputs, 0);
    T* y = output<T>(outputs, 0);
    if (!shared_) return draw_and_multiply(stream, x, y);
    auto* mask = static_cast<Compute<T>*>(workspace);
    each_piece(
        [&](int64_t row, int64_t from, int64_t n) { draw(stream, row, from, n, mask + row * mask_length_ + from); });
    multiply(x, mask, y);
  }

 private:
  // The local mask as it lies in the whole one: rows of consecutive elements.
  void walk_mask(const Dropout& op, const Shape& x, const Shape& mask) {
    const WholeMask whole(op, x);
    begin_ = first_ = whole.first;
    micro_batch_stride_ = whole.between_micro_batches;
    const Shape* shapes[1] = {&whole.shape};
    mask_rows_ = Walk(mask.dims(), shapes);
    mask_rows_.merge();
    int64_t ignored[Walk::kTensors];
    mask_length_ = mask_rows_.take_last(ignored);
    // Only the last dim of the whole mask is dense; where it has size 1 here, what is left is strided.
    if (ignored[0] > 1) {
      mask_rows_.size[mask_rows_.rank] = mask_length_;
      ++mask_rows_.rank;
      mask_length_ = 1;
    }
    mask_pieces_ = (mask_length_ + kPiece - 1) / kPiece;
  }

  void walk_product(const Shape& x, const Shape& mask) {
    const Shape* shapes[2] = {&x, &mask};
    rows_ = Walk(x.dims(), shapes);
    rows_.merge();
    length_ = rows_.take_last(stride_);
    pieces_ = (length_ + kPiece - 1) / kPiece;
  }

  // Calls visit(row, from, n) for pieces of the mask's rows.
  template <typename Visit>
  void each_piece(const Visit& visit) const {
    parallel_ranges(context_.threads, mask_rows_.count() * mask_pieces_, 4 * std::min(mask_length_, kPiece),
                    [&](int64_t begin, int64_t end) {
                      for (int64_t i = begin; i < end; ++i) {
                        const int64_t from = i % mask_pieces_ * kPiece;
                        visit(i / mask_pieces_, from, std::min(kPiece, mask_length_ - from));
                      }
                    });
  }

  void draw(const DropoutStream& stream, int64_t row, int64_t from, int64_t n, Compute<T>* mask) const {
    const int64_t first = first_ + mask_rows_.offset(row, 0) + from;
    context_.loops.of<T>().dropout_mask(stream, static_cast<uint64_t>(first), n, scale_, mask);
  }

  void draw_and_multiply(const DropoutStream& stream, const T* x, T* y) const {
    each_piece([&](int64_t row, int64_t from, int64_t n) {
      Compute<T> mask[kPiece];
      draw(stream, row, from, n, mask);
      const int64_t at = row * mask_length_ + from;
      context_.loops.of<T>().multiply_by(x + at, mask, 1, y + at, n);
    });
  }

  void multiply(const T* x, const Compute<T>* mask, T* y) const {
    const auto loop = context_.loops.of<T>().multiply_by;
    parallel_ranges(context_.threads, rows_.count() * pieces_, std::min(length_, kPiece),
                    [&](int64_t begin, int64_t end) {
                      for (int64_t i = begin; i < end; ++i) {
                        const int64_t from = i % pieces_ * kPiece;
                        const int64_t at = rows_.offset(i / pieces_, 0) + from;
                        const int64_t mask_at = rows_.offset(i / pieces_, 1) + from * stride_[1];
                        loop(x + at, mask + mask_at, stride_[1], y + at, std::min(kPiece, length_ - from));
                      }
                    });
  }

  static constexpr int64_t kPiece = 1024;
  CpuContext context_;
  DropoutStream stream_{};
  bool shared_ = false;
  Compute<T> scale_;
  Walk mask_rows_, rows_;
  int64_t begin_ = 0;               // of the rank's part in the whole mask, in the first micro-batch
  int64_t micro_batch_stride_ = 0;  // elements of the whole mask from one to the next
  int64_t first_ = 0, mask_length_, mask_pieces_, length_, pieces_;
  int64_t stride_[Walk::kTensors];
};

}  // namespace

std::span<const KernelEntry> dropout_kernels() {
  static const KernelEntry kEntries[] = {{&typeid(Dropout), make_by_output<DropoutKernel>, dropout_workspace}};
  return kEntries;
}

}  // namespace synthesizer
