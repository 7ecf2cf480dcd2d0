#include "core/kernels/cuda/cublaslt/library_gemm.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "core/base/error.h"
#include "core/kernels/cuda/cublaslt/scratch.h"
#include "core/kernels/cuda/cublaslt/shared.h"
#include "core/kernels/cuda/runtime/launch.h"

namespace synthesizer::cuda {
namespace {

// Everything that an algorithm may depend on, in one line.
std::string key_of(const Product& p, uint32_t alignment, bool tf32) {
  const auto strides = [](const MatrixStrides& s) {
    return fmt::format("{},{},{},{}", s.batch[0], s.batch[1], s.row, s.column);
  };
  const std::string bias = p.bias ? fmt::format("{},{}", p.bias_batch[0], p.bias_batch[1]) : "no";
  return fmt::format("{}{}{} {}x{} {}x{}x{} a {} b {} c {} bias {} epilogue {} add {} align {}", to_string(p.dtype),
                     p.wide ? " wide" : "", tf32 ? " tf32" : "", p.batch[0], p.batch[1], p.m, p.n, p.k, strides(p.a),
                     strides(p.b), strides(p.c), bias, static_cast<int>(p.epilogue), p.accumulate, alignment);
}

const void* moved(const void* data, int64_t bytes) {
  return data == nullptr ? nullptr : static_cast<const std::byte*>(data) + bytes;
}

// Buffers are aligned to less than the library wants of its workspace.
void* aligned(void* workspace) {
  constexpr uintptr_t kMask = CublasLtProducts::kWorkspaceAlignment - 1;
  return reinterpret_cast<void*>((reinterpret_cast<uintptr_t>(workspace) + kMask) & ~kMask);
}

class Event {
 public:
  Event() { check(cudaEventCreate(&event_), "measuring products"); }
  ~Event() { cudaEventDestroy(event_); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  operator cudaEvent_t() const { return event_; }

 private:
  cudaEvent_t event_ = nullptr;
};

}  // namespace

LibraryGemm::LibraryGemm(std::shared_ptr<const Shared> shared, const Product& product)
    : shared_(std::move(shared)),
      of_(product),
      description_(*shared_->api, product, shared_->tf32),
      size_(size_of(product.dtype)),
      result_size_(size_of(product.c_type())) {}

void LibraryGemm::run(cudaStream_t stream, const void* a, const void* b, const EpilogueData& data, void* c,
                      void* workspace) const {
  if (shared_->counters != nullptr) shared_->counters->product_flops.fetch_add(of_.flops(), std::memory_order_relaxed);
  void* const space = aligned(workspace);
  const LibraryBatch& batch = description_.batch;
  for (int64_t call = 0; call < batch.calls; ++call) {
    const EpilogueData here{nullptr, moved(data.bias, call * batch.call_bias * result_size_), data.mask};
    const Operands at{static_cast<const std::byte*>(a) + call * batch.call_a * size_,
                      static_cast<const std::byte*>(b) + call * batch.call_b * size_, here,
                      static_cast<std::byte*>(c) + call * batch.call_c * result_size_, space};
    const uint32_t alignment = alignment_of(at);
    description_.set_data(at.data);
    std::optional<cublasLtMatmulAlgo_t>& algorithm = algorithms_[alignment == kWhole ? 0 : 1];
    if (!algorithm) algorithm = choose(stream, at, alignment);
    const cublasStatus_t status = try_to_multiply(stream, at, at.c, *algorithm);
    if (status != CUBLAS_STATUS_SUCCESS) shared_->api->check(status, text().c_str());
  }
}

bool LibraryGemm::has_algorithms() const {
  const LibraryBatch& batch = description_.batch;
  const int64_t bytes =
      batch.call_a * size_ | batch.call_b * size_ | batch.call_c * result_size_ | batch.call_bias * result_size_;
  for (const uint32_t alignment : {kWhole, static_cast<uint32_t>(size_)}) {
    if (alignment != kWhole && (batch.calls == 1 || bytes % kWhole == 0)) break;
    // No data, but an address of this alignment.
    const uintptr_t address = 256 + (alignment == kWhole ? 0 : static_cast<uintptr_t>(result_size_));
    description_.set_data({nullptr, reinterpret_cast<const void*>(address), reinterpret_cast<void*>(256)});
    cublasStatus_t status;
    if (proposals(alignment, status).empty()) return false;
  }
  return true;
}

int LibraryGemm::try_all(cudaStream_t stream, const void* a, const void* b, const EpilogueData& data, void* c,
                         void* workspace, const std::function<void()>& before,
                         const std::function<void()>& after) const {
  const Operands at{static_cast<const std::byte*>(a), static_cast<const std::byte*>(b), data,
                    static_cast<std::byte*>(c), aligned(workspace)};
  description_.set_data(data);
  cublasStatus_t status;
  int done = 0;
  for (const cublasLtMatmulAlgo_t& algorithm : proposals(kWhole, status)) {
    before();
    if (try_to_multiply(stream, at, at.c, algorithm) != CUBLAS_STATUS_SUCCESS) continue;
    after();
    ++done;
  }
  return done;
}

uint32_t LibraryGemm::alignment_of(const Operands& at) const {
  uintptr_t address = 0;
  for (const void* data :
       {static_cast<const void*>(at.a), static_cast<const void*>(at.b), static_cast<const void*>(at.c), at.data.bias})
    address |= reinterpret_cast<uintptr_t>(data);
  return address % kWhole == 0 ? kWhole : static_cast<uint32_t>(size_);
}

cublasStatus_t LibraryGemm::try_to_multiply(cudaStream_t stream, const Operands& at, void* c,
                                            const cublasLtMatmulAlgo_t& algorithm) const {
  const float one = 1, add = of_.accumulate ? 1 : 0;
  const double one64 = 1, add64 = add;
  const bool wide = of_.dtype == DType::kFloat64;
  const Description& d = description_;
  return shared_->api->matmul(shared_->handle, d.product, wide ? static_cast<const void*>(&one64) : &one, at.b, d.a,
                              at.a, d.b, wide ? static_cast<const void*>(&add64) : &add, c, d.c, c, d.c, &algorithm,
                              at.workspace, CublasLtProducts::kLibraryBytes, stream);
}

// From the file, or measured, with these operands: never while a stream is captured, for the first run is not.
cublasLtMatmulAlgo_t LibraryGemm::choose(cudaStream_t stream, const Operands& at, uint32_t alignment) const {
  const std::string key = key_of(of_, alignment, shared_->tf32);
  if (const auto known = kept(key)) return *known;
  cublasStatus_t status;
  const Algorithms proposed = proposals(alignment, status);
  if (proposed.empty()) fail("[cublaslt] no algorithm for a product {}: {}", key, shared_->api->status_string(status));
  const cublasLtMatmulAlgo_t fastest = proposed.size() == 1 ? proposed[0] : measure(stream, at, proposed);
  shared_->cache->add(key, std::string(reinterpret_cast<const char*>(&fastest), sizeof fastest));
  return fastest;
}

std::optional<cublasLtMatmulAlgo_t> LibraryGemm::kept(const std::string& key) const {
  const auto bytes = shared_->cache->find(key);
  if (!bytes || bytes->size() != sizeof(cublasLtMatmulAlgo_t)) return {};
  cublasLtMatmulAlgo_t algorithm;
  std::memcpy(&algorithm, bytes->data(), sizeof algorithm);
  cublasLtMatmulHeuristicResult_t result = {};
  const Description& d = description_;
  const cublasStatus_t status =
      shared_->api->algo_check(shared_->handle, d.product, d.a, d.b, d.c, d.c, &algorithm, &result);
  if (status != CUBLAS_STATUS_SUCCESS || result.workspaceSize > static_cast<size_t>(CublasLtProducts::kLibraryBytes))
    return {};
  return algorithm;
}

// Those that the library calls able; none, and why, if it has none.
LibraryGemm::Algorithms LibraryGemm::proposals(uint32_t alignment, cublasStatus_t& status) const {
  const CublasLt& api = *shared_->api;
  cublasLtMatmulPreference_t preference = nullptr;
  api.check(api.preference_create(&preference), "choosing an algorithm");
  const std::unique_ptr<cublasLtMatmulPreferenceOpaque_t, decltype(api.preference_destroy)> owner(
      preference, api.preference_destroy);
  const auto set = [&](cublasLtMatmulPreferenceAttributes_t which, const auto& value) {
    api.check(api.preference_set(preference, which, &value, sizeof value), "choosing an algorithm");
  };
  set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, static_cast<uint64_t>(CublasLtProducts::kLibraryBytes));
  // Not in place: sums of parts are put together in the order in which they end then, so in another at each run.
  set(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
      static_cast<uint32_t>(CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE | CUBLASLT_REDUCTION_SCHEME_NONE));
  for (const auto which : {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
                           CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES})
    set(which, alignment);
  constexpr int kMost = 8;
  std::array<cublasLtMatmulHeuristicResult_t, kMost> results = {};
  int count = 0;
  const Description& d = description_;
  status = api.get_heuristic(shared_->handle, d.product, d.a, d.b, d.c, d.c, preference, kMost, results.data(), &count);
  Algorithms algorithms;
  if (status != CUBLAS_STATUS_SUCCESS) return algorithms;
  for (int i = 0; i < count; ++i) {
    const cublasLtMatmulHeuristicResult_t& result = results[static_cast<size_t>(i)];
    if (result.state == CUBLAS_STATUS_SUCCESS) algorithms.push_back(result.algo);
  }
  if (algorithms.empty()) status = CUBLAS_STATUS_NOT_SUPPORTED;
  return algorithms;
}

cublasLtMatmulAlgo_t LibraryGemm::measure(cudaStream_t stream, const Operands& at, const Algorithms& proposed) const {
  // What is added to must stay as it is.
  const Scratch scratch(of_.accumulate ? result_bytes() : 0);
  if (of_.accumulate && scratch.data() == nullptr) return proposed[0];
  void* const c = of_.accumulate ? scratch.data() : at.c;
  size_t best = 0;
  float least = std::numeric_limits<float>::max();
  for (size_t i = 0; i < proposed.size(); ++i) {
    const std::optional<float> time = milliseconds(stream, at, c, proposed[i]);
    if (!time || *time >= least) continue;
    least = *time;
    best = i;
  }
  if (least == std::numeric_limits<float>::max())
    fail("[cublaslt] {}: none of the {} algorithms that were proposed does it", text(), proposed.size());
  return proposed[best];
}

// Of some runs; nothing if one fails.
std::optional<float> LibraryGemm::milliseconds(cudaStream_t stream, const Operands& at, void* c,
                                               const cublasLtMatmulAlgo_t& algorithm) const {
  constexpr int kRuns = 5;
  const auto multiply = [&] { return try_to_multiply(stream, at, c, algorithm) == CUBLAS_STATUS_SUCCESS; };
  if (!multiply()) return {};  // once unmeasured
  const Event begin, end;
  check(cudaEventRecord(begin, stream), "measuring products");
  for (int run = 0; run < kRuns; ++run)
    if (!multiply()) return {};
  check(cudaEventRecord(end, stream), "measuring products");
  check(cudaEventSynchronize(end), "measuring products");
  float time = 0;
  check(cudaEventElapsedTime(&time, begin, end), "measuring products");
  return time;
}

// From the first to the last element of what one call gives, whatever the order of its strides.
int64_t LibraryGemm::result_bytes() const {
  const LibraryBatch& batch = description_.batch;
  return ((batch.count - 1) * batch.c + (of_.m - 1) * of_.c.row + of_.n) * result_size_;
}

std::string LibraryGemm::text() const { return fmt::format("a product {}x{}x{}", of_.m, of_.n, of_.k); }

}  // namespace synthesizer::cuda
