// Chooses what makes a product, and counts its operations.
#include "core/kernels/gemm.h"

#include <algorithm>

#include "core/base/error.h"
#include "core/kernels/cpu/gemm/libraries.h"
#include "core/kernels/cpu/gemm/panels.h"

namespace synthesizer {
namespace {

class CountedGemm : public Gemm {
 public:
  CountedGemm(std::unique_ptr<Gemm> gemm, int64_t flops, KernelCounters& counters)
      : gemm_(std::move(gemm)), flops_(flops), counters_(counters) {}

  void run(const void* a, const void* b, void* c, void* workspace) const override {
    gemm_->run(a, b, c, workspace);
    count();
  }
  void run_with(const EpilogueData& data, const void* a, const void* b, void* c, void* workspace) const override {
    gemm_->run_with(data, a, b, c, workspace);
    count();
  }
  const void* prepare(const void* b, void* memory) const override { return gemm_->prepare(b, memory); }
  void run_prepared(const void* a, const void* prepared, void* c, void* workspace) const override {
    gemm_->run_prepared(a, prepared, c, workspace);
    count();
  }

 private:
  void count() const { counters_.product_flops.fetch_add(flops_, std::memory_order_relaxed); }

  std::unique_ptr<Gemm> gemm_;
  int64_t flops_;
  KernelCounters& counters_;
};

// Whether oneDNN may split the inner dimension among threads: it does so with one matrix whose inner dimension is the
// longest by far, and A stored by columns.
bool has_long_inner_dimension(const Product& product) {
  return product.batch[0] * product.batch[1] == 1 && product.k > 2 * std::max(product.m, product.n);
}

bool is_tiled(const Product& product, GemmThreads threads) {
  return threads.same_bits && has_long_inner_dimension(product);
}

bool is_converted(const Product& product) {
  static const bool kNative = has_bfloat16_products();
  return product.dtype == DType::kBFloat16 && !kNative;
}

std::unique_ptr<Gemm> make_uncounted(const Product& product, GemmThreads threads) {
  if (product.dtype == DType::kFloat64) return make_openblas_gemm(product, threads.count);
  if (goes_by_panels(product)) return make_panel_gemm(product, threads.count);
  if (is_converted(product)) return make_converted_gemm(product, threads.count);
  if (is_tiled(product, threads)) return make_tiled_gemm(product, threads.count);
  return make_onednn_gemm(product, threads.count, onednn_workspace(product, threads.count));
}

}  // namespace

void Gemm::run_with(const EpilogueData&, const void*, const void*, void*, void*) const {
  fail("a product without an epilogue");
}

bool takes_epilogue(const Product& product) {
  return goes_by_panels(product) && product.epilogue != ProductEpilogue::kReluMask &&
         product.epilogue != ProductEpilogue::kMask;
}

int64_t gemm_workspace(const Product& product, GemmThreads threads) {
  if (product.dtype == DType::kFloat64) return 0;
  if (goes_by_panels(product)) return panel_workspace(product, threads.count);
  if (is_converted(product)) return converted_workspace(product, threads.count);
  return is_tiled(product, threads) ? tiled_workspace(product, threads.count)
                                    : onednn_workspace(product, threads.count);
}

int64_t gemm_workspace_up_to(const Product& product, GemmThreads threads) {
  if (product.dtype == DType::kFloat64) return 0;
  if (is_converted(product)) return converted_workspace(product, threads.count);
  int64_t bytes = onednn_workspace(product, threads.count);
  if (threads.same_bits) bytes = std::max(bytes, tiled_workspace(product, threads.count));
  if (panel_functions(product.dtype) != nullptr) bytes = std::max(bytes, panel_workspace_up_to(product, threads.count));
  return bytes;
}

int64_t gemm_prepared_bytes(const Product& product) {
  return goes_by_panels(product) ? panel_prepared_bytes(product) : 0;
}

int64_t onednn_workspace(const Product& product, int threads) {
  // oneDNN copies blocks of A and B for each thread, at most 256 rows and 256 columns by 4096, and a block of C. What
  // it would use beyond that, many threads with a C each to add up, it does not get.
  const auto block = [](int64_t size) { return std::min<int64_t>((size + 63) / 64 * 64, 256); };
  const int64_t depth = std::min<int64_t>(product.k, 4096) + 64;
  return threads * 4 * ((block(product.m) + block(product.n)) * depth + 64 * 256 + 1024);
}

std::unique_ptr<Gemm> make_gemm(const Product& product, GemmThreads threads, KernelCounters* counters) {
  CHECK(is_floating(product.dtype), "a product of {}", to_string(product.dtype));
  CHECK(product.is_plain() || takes_epilogue(product), "an epilogue of another kind of product");
  CHECK(product.c.column == 1 || product.n == 1, "C has stride {} along its columns", product.c.column);
  std::unique_ptr<Gemm> gemm = make_uncounted(product, threads);
  if (counters == nullptr) return gemm;
  return std::make_unique<CountedGemm>(std::move(gemm), product.flops(), *counters);
}

}  // namespace synthesizer
