#include "core/kernels/cuda/cublaslt/products.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <optional>
#include <vector>

#include "core/base/error.h"
#include "core/kernels/cuda/cublaslt/algorithm_cache.h"
#include "core/kernels/cuda/cublaslt/library.h"
#include "core/kernels/cuda/launch.h"

namespace synthesizer::cuda {

struct CublasLtProducts::Shared {
  std::shared_ptr<const CublasLt> api;
  cublasLtHandle_t handle = nullptr;
  std::unique_ptr<AlgorithmCache> cache;
  KernelCounters* counters = nullptr;
  bool tf32 = false;

  ~Shared() {
    if (handle != nullptr) api->destroy(handle);
  }
};

namespace {

cudaDataType_t data_type(DType dtype) {
  return dtype == DType::kBFloat16 ? CUDA_R_16BF : dtype == DType::kFloat64 ? CUDA_R_64F : CUDA_R_32F;
}

// The library's matrices lie by columns, so it is given Cᵀ = Bᵀ·Aᵀ: its first operand is our B.
struct Operand {
  bool transposed;
  int64_t rows, columns, leading;
};

// Ours is `rows` × `columns` with unit stride along either; read as theirs it is the transpose.
Operand operand(int64_t rows, int64_t columns, const MatrixStrides& strides) {
  const bool by_rows = strides.column == 1 || columns == 1;  // as it lies, theirs is columns × rows
  if (by_rows) return {false, columns, rows, std::max({strides.row, columns, int64_t{1}})};
  return {true, rows, columns, std::max({strides.column, rows, int64_t{1}})};
}

// What the library does in one call; what it cannot is looped over.
struct Batch {
  int64_t calls = 1, count = 1;
  int64_t call_a = 0, call_b = 0, call_c = 0;  // strides in elements
  int64_t a = 0, b = 0, c = 0;

  explicit Batch(const Product& p) {
    const auto follows = [&](const MatrixStrides& s) { return s.batch[0] == s.batch[1] * p.batch[1]; };
    const bool one = p.batch[0] == 1 || p.batch[1] == 1 || (follows(p.a) && follows(p.b) && follows(p.c));
    const int inner = one && p.batch[1] == 1 ? 0 : 1;
    count = one ? p.batch[0] * p.batch[1] : p.batch[1];
    a = p.a.batch[inner];
    b = p.b.batch[inner];
    c = p.c.batch[inner];
    if (one) return;
    calls = p.batch[0];
    call_a = p.a.batch[0];
    call_b = p.b.batch[0];
    call_c = p.c.batch[0];
  }
};

// The library's description of a product, as handles.
class Description {
 public:
  Description(const CublasLt& api, const Product& p, bool tf32) : api_(api), batch(p) {
    const cudaDataType_t type = data_type(p.dtype), result = data_type(p.c_type());
    const cudaDataType_t scale = p.dtype == DType::kFloat64 ? CUDA_R_64F : CUDA_R_32F;
    const cublasComputeType_t compute = p.dtype == DType::kFloat64           ? CUBLAS_COMPUTE_64F
                                        : p.dtype == DType::kFloat32 && tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32
                                                                             : CUBLAS_COMPUTE_32F;
    api.check(api.desc_create(&product, compute, scale), "describing a product");
    const Operand first = operand(p.k, p.n, p.b), second = operand(p.m, p.k, p.a);
    set_transposed(CUBLASLT_MATMUL_DESC_TRANSA, first.transposed);
    set_transposed(CUBLASLT_MATMUL_DESC_TRANSB, second.transposed);
    if (p.epilogue == ProductEpilogue::kRelu) {
      const cublasLtEpilogue_t relu = CUBLASLT_EPILOGUE_RELU;
      api.check(api.desc_set(product, CUBLASLT_MATMUL_DESC_EPILOGUE, &relu, sizeof relu), "describing an epilogue");
    }
    layout(&a, type, first, batch.b);
    layout(&b, type, second, batch.a);
    layout(&c, result, {false, p.n, p.m, std::max(p.c.row, p.n)}, batch.c);
  }
  ~Description() {
    for (const cublasLtMatrixLayout_t matrix : {a, b, c})
      if (matrix != nullptr) api_.layout_destroy(matrix);
    if (product != nullptr) api_.desc_destroy(product);
  }
  Description(const Description&) = delete;
  Description& operator=(const Description&) = delete;

 private:
  const CublasLt& api_;

  void set_transposed(cublasLtMatmulDescAttributes_t which, bool transposed) {
    const cublasOperation_t operation = transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
    api_.check(api_.desc_set(product, which, &operation, sizeof operation), "describing an operand");
  }
  void layout(cublasLtMatrixLayout_t* matrix, cudaDataType_t type, const Operand& of, int64_t batch_stride) {
    api_.check(
        api_.layout_create(matrix, type, static_cast<uint64_t>(of.rows), static_cast<uint64_t>(of.columns), of.leading),
        "describing a matrix");
    const auto count = static_cast<int32_t>(batch.count);
    api_.check(api_.layout_set(*matrix, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count, sizeof count),
               "describing a batch");
    api_.check(
        api_.layout_set(*matrix, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &batch_stride, sizeof batch_stride),
        "describing a batch");
  }

 public:
  Batch batch;
  cublasLtMatmulDesc_t product = nullptr;
  cublasLtMatrixLayout_t a = nullptr, b = nullptr, c = nullptr;  // theirs
};

// Everything that an algorithm may depend on, in one line.
std::string key_of(const Product& p, uint32_t alignment, bool tf32) {
  const auto strides = [](const MatrixStrides& s) {
    return fmt::format("{},{},{},{}", s.batch[0], s.batch[1], s.row, s.column);
  };
  return fmt::format("{}{}{} {}x{} {}x{}x{} a {} b {} c {} relu {} add {} align {}", to_string(p.dtype),
                     p.wide ? " wide" : "", tf32 ? " tf32" : "", p.batch[0], p.batch[1], p.m, p.n, p.k, strides(p.a),
                     strides(p.b), strides(p.c), p.epilogue == ProductEpilogue::kRelu, p.accumulate, alignment);
}

}  // namespace

class CublasLtGemm : public DeviceGemm {
 public:
  CublasLtGemm(std::shared_ptr<const CublasLtProducts::Shared> shared, const Product& product)
      : shared_(std::move(shared)),
        of_(product),
        description_(*shared_->api, product, shared_->tf32),
        size_(size_of(product.dtype)),
        result_size_(size_of(product.c_type())) {}

  void run(cudaStream_t stream, const void* a, const void* b, const void*, void* c, void* workspace) const override {
    if (shared_->counters != nullptr)
      shared_->counters->product_flops.fetch_add(of_.flops(), std::memory_order_relaxed);
    const Batch& batch = description_.batch;
    for (int64_t call = 0; call < batch.calls; ++call) {
      const Operands at{static_cast<const std::byte*>(a) + call * batch.call_a * size_,
                        static_cast<const std::byte*>(b) + call * batch.call_b * size_,
                        static_cast<std::byte*>(c) + call * batch.call_c * result_size_, workspace};
      const uint32_t alignment = alignment_of(at);
      std::optional<cublasLtMatmulAlgo_t>& algorithm = algorithms_[alignment == kWhole ? 0 : 1];
      if (!algorithm) algorithm = choose(stream, at, alignment);
      multiply(stream, at, at.c, *algorithm);
    }
  }

 private:
  struct Operands {
    const std::byte *a, *b;
    std::byte* c;
    void* workspace;
  };
  static constexpr uint32_t kWhole = 16;  // bytes: what all buffers are aligned to that begin a tensor

  uint32_t alignment_of(const Operands& at) const {
    const auto address =
        reinterpret_cast<uintptr_t>(at.a) | reinterpret_cast<uintptr_t>(at.b) | reinterpret_cast<uintptr_t>(at.c);
    return address % kWhole == 0 ? kWhole : static_cast<uint32_t>(size_);
  }

  cublasStatus_t try_to_multiply(cudaStream_t stream, const Operands& at, void* c,
                                 const cublasLtMatmulAlgo_t& algorithm) const {
    const float one = 1, add = of_.accumulate ? 1 : 0;
    const double one64 = 1, add64 = add;
    const bool wide = of_.dtype == DType::kFloat64;
    return shared_->api->matmul(shared_->handle, description_.product, wide ? static_cast<const void*>(&one64) : &one,
                                at.b, description_.a, at.a, description_.b,
                                wide ? static_cast<const void*>(&add64) : &add, c, description_.c, c, description_.c,
                                &algorithm, at.workspace, CublasLtProducts::kWorkspaceBytes, stream);
  }
  void multiply(cudaStream_t stream, const Operands& at, void* c, const cublasLtMatmulAlgo_t& algorithm) const {
    shared_->api->check(try_to_multiply(stream, at, c, algorithm),
                        fmt::format("a product {}x{}x{}", of_.m, of_.n, of_.k).c_str());
  }

  // From the file, or measured, with these operands: never while a stream is captured, for the first run is not.
  cublasLtMatmulAlgo_t choose(cudaStream_t stream, const Operands& at, uint32_t alignment) const {
    const CublasLt& api = *shared_->api;
    const std::string key = key_of(of_, alignment, shared_->tf32);
    if (const auto kept = shared_->cache->find(key); kept && kept->size() == sizeof(cublasLtMatmulAlgo_t)) {
      cublasLtMatmulAlgo_t algorithm;
      std::memcpy(&algorithm, kept->data(), sizeof algorithm);
      cublasLtMatmulHeuristicResult_t result;
      if (api.algo_check(shared_->handle, description_.product, description_.a, description_.b, description_.c,
                         description_.c, &algorithm, &result) == CUBLAS_STATUS_SUCCESS &&
          result.workspaceSize <= static_cast<size_t>(CublasLtProducts::kWorkspaceBytes))
        return algorithm;
    }
    const std::vector<cublasLtMatmulAlgo_t> proposed = proposals(alignment);
    const cublasLtMatmulAlgo_t fastest = proposed.size() == 1 ? proposed[0] : measure(stream, at, proposed);
    shared_->cache->add(key, std::string(reinterpret_cast<const char*>(&fastest), sizeof fastest));
    return fastest;
  }

  std::vector<cublasLtMatmulAlgo_t> proposals(uint32_t alignment) const {
    const CublasLt& api = *shared_->api;
    cublasLtMatmulPreference_t preference = nullptr;
    api.check(api.preference_create(&preference), "choosing an algorithm");
    const auto set = [&](cublasLtMatmulPreferenceAttributes_t which, const auto& value) {
      api.check(api.preference_set(preference, which, &value, sizeof value), "choosing an algorithm");
    };
    set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, static_cast<uint64_t>(CublasLtProducts::kWorkspaceBytes));
    // Not in place: sums of parts are put together in the order in which they end then, so in another at each run.
    set(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
        static_cast<uint32_t>(CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE | CUBLASLT_REDUCTION_SCHEME_NONE));
    for (const auto which : {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
                             CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES})
      set(which, alignment);
    constexpr int kMost = 8;
    std::array<cublasLtMatmulHeuristicResult_t, kMost> results = {};
    int count = 0;
    const cublasStatus_t status =
        api.get_heuristic(shared_->handle, description_.product, description_.a, description_.b, description_.c,
                          description_.c, preference, kMost, results.data(), &count);
    api.preference_destroy(preference);
    if (status != CUBLAS_STATUS_SUCCESS || count == 0)
      fail("[cublaslt] no algorithm for a product {}: {}", key_of(of_, alignment, shared_->tf32),
           api.status_string(status));
    std::vector<cublasLtMatmulAlgo_t> algorithms;
    for (int i = 0; i < count; ++i) algorithms.push_back(results[static_cast<size_t>(i)].algo);
    return algorithms;
  }

  cublasLtMatmulAlgo_t measure(cudaStream_t stream, const Operands& at,
                               const std::vector<cublasLtMatmulAlgo_t>& proposed) const {
    // What is added to must stay as it is.
    void* scratch = nullptr;
    if (of_.accumulate && cudaMalloc(&scratch, static_cast<size_t>(result_bytes())) != cudaSuccess) {
      cudaGetLastError();
      return proposed[0];
    }
    void* const c = of_.accumulate ? scratch : at.c;
    cudaEvent_t begin = nullptr, end = nullptr;
    check(cudaEventCreate(&begin), "measuring products");
    check(cudaEventCreate(&end), "measuring products");
    constexpr int kRuns = 5;
    size_t best = 0;
    float least = std::numeric_limits<float>::max();
    for (size_t i = 0; i < proposed.size(); ++i) {
      if (try_to_multiply(stream, at, c, proposed[i]) != CUBLAS_STATUS_SUCCESS) continue;  // once unmeasured
      check(cudaEventRecord(begin, stream), "measuring products");
      for (int run = 0; run < kRuns; ++run) multiply(stream, at, c, proposed[i]);
      check(cudaEventRecord(end, stream), "measuring products");
      check(cudaEventSynchronize(end), "measuring products");
      float milliseconds = 0;
      check(cudaEventElapsedTime(&milliseconds, begin, end), "measuring products");
      if (milliseconds >= least) continue;
      least = milliseconds;
      best = i;
    }
    cudaEventDestroy(begin);
    cudaEventDestroy(end);
    if (scratch != nullptr) cudaFree(scratch);
    return proposed[best];
  }

  int64_t result_bytes() const {
    const Batch& batch = description_.batch;
    return ((batch.count - 1) * batch.c + (of_.m - 1) * of_.c.row + of_.n) * result_size_;
  }

  std::shared_ptr<const CublasLtProducts::Shared> shared_;
  Product of_;
  Description description_;
  int64_t size_, result_size_;
  mutable std::array<std::optional<cublasLtMatmulAlgo_t>, 2> algorithms_;  // of aligned operands, of others
};

CublasLtProducts::CublasLtProducts(KernelCounters* counters, bool tf32) {
  auto shared = std::make_shared<Shared>();
  shared->api = load_cublaslt();
  shared->counters = counters;
  shared->tf32 = tf32;
  shared->api->check(shared->api->create(&shared->handle), "starting");
  int device = 0;
  cudaDeviceProp properties = {};
  cuda::check(cudaGetDevice(&device), "asking for the GPU");
  cuda::check(cudaGetDeviceProperties(&properties, device), "asking a GPU what it is");
  shared->cache = std::make_unique<AlgorithmCache>(properties.name, shared->api->version);
  shared_ = std::move(shared);
}

CublasLtProducts::~CublasLtProducts() = default;

bool CublasLtProducts::takes_epilogue(const Product& product) const {
  return product.epilogue == ProductEpilogue::kRelu && !product.accumulate && product.dtype != DType::kFloat64;
}

std::unique_ptr<DeviceGemm> CublasLtProducts::make(const Product& product) const {
  CHECK(product.epilogue == ProductEpilogue::kNone || takes_epilogue(product), "an epilogue that cuBLASLt has not");
  return std::make_unique<CublasLtGemm>(shared_, product);
}

std::string CublasLtProducts::name() const {
  return fmt::format("cuBLASLt {} ({})", shared_->api->version, shared_->api->path);
}

}  // namespace synthesizer::cuda
