#include "core/kernels/cuda/cublaslt/habits.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "core/base/error.h"
#include "core/kernels/cuda/cublaslt/library_gemm.h"
#include "core/kernels/cuda/cublaslt/scratch.h"
#include "core/kernels/cuda/runtime/launch.h"
#include "core/tensor/bfloat16.h"

namespace synthesizer::cuda {
namespace {

constexpr char kWhat[] = "trying cuBLASLt's epilogues";
// More columns than a mask has in 128 bits, and not a multiple of them.
constexpr int64_t kRows = 16, kColumns = 160, kNanColumn = 7;

class Stream {
 public:
  Stream() { check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), kWhat); }
  ~Stream() { cudaStreamDestroy(stream_); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  operator cudaStream_t() const { return stream_; }

 private:
  cudaStream_t stream_ = nullptr;
};

void expect(const Scratch& memory) {
  if (memory.data() == nullptr) fail("[cublaslt] {}: the device has no memory for it", kWhat);
}

// Values of the host, and their place on the device.
template <typename T>
class Copied {
 public:
  explicit Copied(std::vector<T> from) : values(std::move(from)), memory_(bytes()) { expect(memory_); }
  void upload(cudaStream_t stream) { copy(data(), values.data(), cudaMemcpyHostToDevice, stream); }
  void download(cudaStream_t stream) { copy(values.data(), data(), cudaMemcpyDeviceToHost, stream); }
  T* data() const { return static_cast<T*>(memory_.data()); }

  std::vector<T> values;

 private:
  int64_t bytes() const { return static_cast<int64_t>(values.size() * sizeof(T)); }
  void copy(void* to, const void* from, cudaMemcpyKind kind, cudaStream_t stream) {
    check(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes()), kind, stream), kWhat);
    check(cudaStreamSynchronize(stream), kWhat);
  }

  Scratch memory_;
};

// Above 0, below it and 0, in no regular order, and a column that is NaN.
float element(int64_t row, int64_t column) {
  if (column == kNanColumn) return std::numeric_limits<float>::quiet_NaN();
  return static_cast<float>((row * 37 + column * 61 + row * column) % 7 % 3 - 1) * 2;
}
bool is_kept(int64_t row, int64_t column) { return (row * 29 + column * 13 + row * column) % 5 % 2 == 0; }

template <typename T, typename C>
class Trial {
 public:
  explicit Trial(const Product& of) : p_(small_like(of)), a_(identity()), b_(elements()), c_(zeros()), mask_(bits()) {}

  bool holds(const std::shared_ptr<const CublasLtProducts::Shared>& shared) {
    const LibraryGemm gemm(shared, p_);
    a_.upload(stream_);
    b_.upload(stream_);
    const Scratch workspace(CublasLtProducts::kWorkspaceBytes);
    expect(workspace);
    bool good = true;
    const int done = gemm.try_all(
        stream_, a_.data(), b_.data(), {.mask = mask_.data()}, c_.data(), workspace.data(),
        [&] {
          mask_.values = bits();
          mask_.upload(stream_);
        },
        [&] {
          c_.download(stream_);
          mask_.download(stream_);
          good = good && is_right();
        });
    return done > 0 && good;
  }

 private:
  static Product small_like(const Product& of) {
    Product p;
    p.dtype = of.dtype;
    p.wide = of.wide;
    p.epilogue = of.epilogue;
    p.m = p.k = kRows;
    p.n = kColumns;
    p.a = {{}, kRows, 1};
    p.b = p.c = {{}, kColumns, 1};
    return p;
  }
  // C is B then.
  static std::vector<T> identity() {
    std::vector<T> values(kRows * kRows, rounded<T>(0.0f));
    for (size_t i = 0; i < kRows; ++i) values[i * kRows + i] = rounded<T>(1.0f);
    return values;
  }
  static std::vector<T> elements() {
    std::vector<T> values;
    for (int64_t row = 0; row < kRows; ++row)
      for (int64_t column = 0; column < kColumns; ++column) values.push_back(rounded<T>(element(row, column)));
    return values;
  }
  static std::vector<C> zeros() { return std::vector<C>(kRows * kColumns); }
  // As is_kept() says, and all set behind the rows.
  static std::vector<uint32_t> bits() {
    std::vector<uint32_t> words(static_cast<size_t>(kRows * mask_words(kColumns)), ~uint32_t{0});
    for (int64_t row = 0; row < kRows; ++row)
      for (int64_t column = 0; column < kColumns; ++column)
        if (!is_kept(row, column)) words[word_of(row, column)] &= ~bit_of(column);
    return words;
  }
  static size_t word_of(int64_t row, int64_t column) {
    return static_cast<size_t>(row * mask_words(kColumns) + column / 32);
  }
  static uint32_t bit_of(int64_t column) { return uint32_t{1} << column % 32; }

  bool is_right() const {
    for (int64_t row = 0; row < kRows; ++row)
      for (int64_t column = 0; column < kColumns; ++column) {
        const auto got = static_cast<float>(widened(c_.values[static_cast<size_t>(row * kColumns + column)]));
        const bool bit = (mask_.values[word_of(row, column)] & bit_of(column)) != 0;
        const float x = element(row, column);
        if (std::isnan(x)) {
          // Nothing is asked of what a mask leaves out.
          if (!std::isnan(got) && (p_.epilogue != ProductEpilogue::kMask || is_kept(row, column))) return false;
          continue;
        }
        const bool mask = p_.epilogue == ProductEpilogue::kMask;
        if (got != (mask ? (is_kept(row, column) ? x : 0) : x > 0 ? x : 0)) return false;
        if (p_.epilogue == ProductEpilogue::kReluMask && bit != (x > 0)) return false;
      }
    return true;
  }

  Product p_;
  Stream stream_;
  Copied<T> a_, b_;
  Copied<C> c_;
  Copied<uint32_t> mask_;
};

}  // namespace

bool does_as_documented_here(const std::shared_ptr<const CublasLtProducts::Shared>& shared, const Product& product) {
  if (product.dtype == DType::kFloat32) return Trial<float, float>(product).holds(shared);
  if (product.wide) return Trial<BFloat16, float>(product).holds(shared);
  return Trial<BFloat16, BFloat16>(product).holds(shared);
}

}  // namespace synthesizer::cuda
