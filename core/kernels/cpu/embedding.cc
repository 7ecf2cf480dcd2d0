// Rows of a table by id, and their gradient: each thread adds up its own columns, so the order of the rows stays that
// of the ids' positions.
#include "core/ops/embedding.h"

#include <algorithm>

#include "core/kernels/cpu/kernel_case.h"
#include "core/kernels/cpu/parallel.h"

namespace synthesizer {
namespace {

// Rows of a table of Compute<T> as T.
template <typename T>
class EmbeddingKernel : public Kernel {
 public:
  explicit EmbeddingKernel(const KernelCase& c)
      : threads_(c.context.threads),
        first_row_(c.as<Embedding>().first_row()),
        rows_(c.in(0).dims()[0].size),
        width_(c.in(0).elements() / rows_),
        ids_(c.in(1).elements()),
        store_(c.context.loops.of<T>().store) {}

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void*) override {
    const Compute<T>* table = input<Compute<T>>(inputs, 0);
    const int32_t* ids = input<int32_t>(inputs, 1);
    T* y = output<T>(outputs, 0);
    parallel_ranges(threads_, ids_, width_, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t row = ids[i] - first_row_;
        T* out = y + i * width_;
        if (row >= 0 && row < rows_) {
          store_(table + row * width_, out, width_);
        } else {
          std::fill_n(out, width_, T{});
        }
      }
    });
  }

 private:
  int threads_;
  int64_t first_row_, rows_, width_, ids_;
  decltype(Loops<T>::store) store_;
};

// dy of T, the table of Compute<T>.
template <typename T>
class EmbeddingGradientKernel : public Kernel {
 public:
  explicit EmbeddingGradientKernel(const KernelCase& c)
      : threads_(c.context.threads),
        first_row_(c.as<EmbeddingGradient>().first_row()),
        has_base_(c.as<EmbeddingGradient>().has_base()),
        rows_(c.out(0).dims()[0].size),
        width_(c.out(0).elements() / rows_),
        ids_(c.in(0).elements()),
        add_to_(c.context.loops.of<T>().add_to) {}

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void*) override {
    const int32_t* ids = input<int32_t>(inputs, 0);
    const T* dy = input<T>(inputs, 1);
    auto* table = output<Compute<T>>(outputs, 0);
    const auto* base = has_base_ ? input<Compute<T>>(inputs, 2) : nullptr;
    if (base != table) {
      parallel_ranges(threads_, rows_ * width_, 1, [&](int64_t begin, int64_t end) {
        if (base != nullptr)
          std::copy(base + begin, base + end, table + begin);
        else
          std::fill(table + begin, table + end, Compute<T>(0));
      });
    }
    parallel_ranges(threads_, width_, ids_, [&](int64_t begin, int64_t end) {
      for (int64_t i = 0; i < ids_; ++i) {
        const int64_t row = ids[i] - first_row_;
        if (row >= 0 && row < rows_) add_to_(1, dy + i * width_ + begin, table + row * width_ + begin, end - begin);
      }
    });
  }

 private:
  int threads_;
  int64_t first_row_;
  bool has_base_;
  int64_t rows_, width_, ids_;
  decltype(Loops<T>::add_to) add_to_;
};

}  // namespace

std::span<const KernelEntry> embedding_kernels() {
  static const KernelEntry kEntries[] = {
      {&typeid(Embedding), make_by_output<EmbeddingKernel>, nullptr},
      {&typeid(EmbeddingGradient), (make_by_input<EmbeddingGradientKernel, 1>), nullptr}};
  return kEntries;
}

}  // namespace synthesizer
