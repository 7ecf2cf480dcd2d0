#include "tests/core/kernels/cuda/cublaslt/fake_cublaslt.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "tests/core/kernels/cuda/cublaslt/fake_product.h"

struct cublasLtContext {};

namespace {

constexpr int kAlgorithms = static_cast<int>(FakeAlgorithm::kAny) + 1;
constexpr uint64_t kMagic = 0x61626c744c61736b;  // of an algorithm that came from here

struct Preference : cublasLtMatmulPreferenceOpaque_t {
  uint64_t workspace = 0;
  uint32_t reductions = CUBLASLT_REDUCTION_SCHEME_MASK;
  uint32_t alignment = 256;  // the least of a, b, c, d
};

// A product that a stream has been given; graphs may do it again.
struct Given {
  FakeProduct product;
  FakeAlgorithm algorithm;
  int microseconds;
  void* workspace;
};

struct State {
  std::mutex mutex;
  FakeCublasLtLaunch launch = nullptr;
  std::string failing;
  cublasStatus_t failure = CUBLAS_STATUS_SUCCESS;
  std::set<FakeAlgorithm> withdrawn;
  unsigned withdrawn_epilogues = 0;
  int microseconds[kAlgorithms] = {};
  std::map<std::string, int, std::less<>> calls;
  std::atomic<int> products[kAlgorithms] = {};
  std::map<unsigned, int> epilogues;
  std::vector<std::unique_ptr<Given>> given;
  std::atomic<int> live = 0;
};
State& state() {
  static State all;
  return all;
}

cublasStatus_t entered(std::string_view function) {
  const std::lock_guard lock(state().mutex);
  ++state().calls[std::string(function)];
  if (state().failing != function) return CUBLAS_STATUS_SUCCESS;
  state().failing.clear();
  return state().failure;
}

bool says(const char* variable, std::string_view value) {
  const char* text = std::getenv(variable);
  return text != nullptr && text == value;
}

template <typename T>
cublasStatus_t destroy(auto* handle) {
  if (handle == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  --state().live;
  delete static_cast<T*>(handle);
  return CUBLAS_STATUS_SUCCESS;
}

template <typename T>
cublasStatus_t set(T& to, const void* from, size_t bytes) {
  if (from == nullptr || bytes != sizeof(T)) return CUBLAS_STATUS_INVALID_VALUE;
  std::memcpy(&to, from, bytes);
  return CUBLAS_STATUS_SUCCESS;
}

// Of the kind of product that an algorithm was configured for.
uint64_t kind_of(const FakeProduct& p) {
  return static_cast<uint64_t>(p.a.type) | static_cast<uint64_t>(p.d.type) << 8 |
         static_cast<uint64_t>(p.of.compute) << 16 | static_cast<uint64_t>(p.of.a) << 24 |
         static_cast<uint64_t>(p.of.b) << 28 | static_cast<uint64_t>(p.of.epilogue) << 32;
}

size_t workspace_of(FakeAlgorithm algorithm) {
  return algorithm == FakeAlgorithm::kSplit   ? size_t{1} << 20
         : algorithm == FakeAlgorithm::kRoomy ? size_t{64} << 20
                                              : 0;
}
uint32_t reduction_of(FakeAlgorithm algorithm) {
  return algorithm == FakeAlgorithm::kSplit     ? CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE
         : algorithm == FakeAlgorithm::kInPlace ? CUBLASLT_REDUCTION_SCHEME_INPLACE
                                                : CUBLASLT_REDUCTION_SCHEME_NONE;
}

constexpr int64_t kVector = 16;  // bytes
// Columns and batches; a matrix of one column has no second.
bool layouts_are_aligned(const FakeProduct& p) {
  for (const FakeLayout* matrix : {&p.a, &p.b, &p.c, &p.d}) {
    const int64_t size = fake_size_of(matrix->type);
    if (matrix->leading * size % kVector != 0 || (matrix->count > 1 && matrix->stride * size % kVector != 0))
      return false;
  }
  return true;
}
bool data_is_aligned(const FakeProduct& p) {
  const auto address = [](const void* data) { return reinterpret_cast<uintptr_t>(data); };
  const uintptr_t bias = p.of.has(kFakeBias) ? address(p.of.bias) : 0;
  return (address(p.a_data) | address(p.b_data) | address(p.c_data) | address(p.d_data) | bias) % kVector == 0;
}

// The product of these handles, without its data; of null ones nothing.
std::unique_ptr<FakeProduct> describe(cublasLtMatmulDesc_t of, cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                      cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d) {
  if (of == nullptr || a == nullptr || b == nullptr || c == nullptr || d == nullptr) return nullptr;
  const auto layout = [](cublasLtMatrixLayout_t matrix) { return *static_cast<FakeLayout*>(matrix); };
  return std::make_unique<FakeProduct>(FakeProduct{
      *static_cast<FakeDescription*>(of), layout(a), layout(b), layout(c), layout(d), nullptr, nullptr, nullptr,
      nullptr, 1, 0, says("FAKE_CUBLASLT_BITS", "reversed"), says("FAKE_CUBLASLT_NAN", "swallowed")});
}

// Whether an algorithm is one, for a product of this kind.
cublasStatus_t check_algorithm(const cublasLtMatmulAlgo_t* algorithm, const FakeProduct& p, FakeAlgorithm& which) {
  if (algorithm == nullptr || algorithm->data[0] != kMagic || algorithm->data[2] != kind_of(p) ||
      algorithm->data[1] >= static_cast<uint64_t>(kAlgorithms))
    return CUBLAS_STATUS_INVALID_VALUE;
  which = static_cast<FakeAlgorithm>(algorithm->data[1]);
  if (which == FakeAlgorithm::kAligned && !layouts_are_aligned(p)) return CUBLAS_STATUS_INVALID_VALUE;
  return state().withdrawn.contains(which) ? CUBLAS_STATUS_NOT_SUPPORTED : CUBLAS_STATUS_SUCCESS;
}

void run_given(void* data) {
  const Given& given = *static_cast<const Given*>(data);
  const auto end = std::chrono::steady_clock::now() + std::chrono::microseconds(given.microseconds);
  if (workspace_of(given.algorithm) > 0) std::memset(given.workspace, 0xFF, workspace_of(given.algorithm));
  given.product.multiply();
  ++state().products[static_cast<int>(given.algorithm)];
  while (std::chrono::steady_clock::now() < end) {
  }
}

}  // namespace

extern "C" {

cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
  if (const auto status = entered("cublasLtCreate"); status != CUBLAS_STATUS_SUCCESS) return status;
  if (handle == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  ++state().live;
  *handle = new cublasLtContext;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) { return destroy<cublasLtContext>(handle); }
const char* cublasLtGetStatusString(cublasStatus_t status) {
  return status == CUBLAS_STATUS_NOT_SUPPORTED   ? "the requested functionality is not supported"
         : status == CUBLAS_STATUS_INVALID_VALUE ? "an unsupported value or parameter was passed to the function"
                                                 : "fake error";
}
size_t cublasLtGetVersion() { return 130002; }

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* made, cublasComputeType_t compute, cudaDataType_t scale) {
  if (const auto status = entered("cublasLtMatmulDescCreate"); status != CUBLAS_STATUS_SUCCESS) return status;
  auto* description = new FakeDescription();
  description->compute = compute;
  description->scale = scale;
  ++state().live;
  *made = description;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t handle) { return destroy<FakeDescription>(handle); }
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t handle, cublasLtMatmulDescAttributes_t attribute,
                                              const void* from, size_t bytes) {
  if (const auto status = entered("cublasLtMatmulDescSetAttribute"); status != CUBLAS_STATUS_SUCCESS) return status;
  if (handle == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  auto& of = *static_cast<FakeDescription*>(handle);
  switch (attribute) {
    case CUBLASLT_MATMUL_DESC_TRANSA:
      return set(of.a, from, bytes);
    case CUBLASLT_MATMUL_DESC_TRANSB:
      return set(of.b, from, bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE:
      return set(of.epilogue, from, bytes);
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
      return set(of.bias, from, bytes);
    case CUBLASLT_MATMUL_DESC_BIAS_BATCH_STRIDE:
      return set(of.bias_stride, from, bytes);
    case CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE:
      return set(of.bias_type, from, bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER:
      return set(of.aux, from, bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD:
      return set(of.aux_leading, from, bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_BATCH_STRIDE:
      return set(of.aux_stride, from, bytes);
    default:
      return CUBLAS_STATUS_INVALID_VALUE;
  }
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* made, cudaDataType type, uint64_t rows,
                                          uint64_t columns, int64_t leading) {
  if (const auto status = entered("cublasLtMatrixLayoutCreate"); status != CUBLAS_STATUS_SUCCESS) return status;
  auto* layout = new FakeLayout();
  layout->type = type;
  layout->rows = rows;
  layout->columns = columns;
  layout->leading = leading;
  ++state().live;
  *made = layout;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t handle) { return destroy<FakeLayout>(handle); }
cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t handle,
                                                cublasLtMatrixLayoutAttribute_t attribute, const void* from,
                                                size_t bytes) {
  if (handle == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  auto& layout = *static_cast<FakeLayout*>(handle);
  if (attribute == CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT) return set(layout.count, from, bytes);
  if (attribute == CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET) return set(layout.stride, from, bytes);
  return CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* made) {
  ++state().live;
  *made = new Preference();
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t handle) {
  return destroy<Preference>(handle);
}
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t handle,
                                                    cublasLtMatmulPreferenceAttributes_t attribute, const void* from,
                                                    size_t bytes) {
  if (const auto status = entered("cublasLtMatmulPreferenceSetAttribute"); status != CUBLAS_STATUS_SUCCESS)
    return status;
  if (handle == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  auto& preference = *static_cast<Preference*>(handle);
  uint32_t alignment = 0;
  switch (attribute) {
    case CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES:
      return set(preference.workspace, from, bytes);
    case CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK:
      return set(preference.reductions, from, bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES:
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES:
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES:
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES:
      if (set(alignment, from, bytes) != CUBLAS_STATUS_SUCCESS) return CUBLAS_STATUS_INVALID_VALUE;
      preference.alignment = std::min(preference.alignment, alignment);
      return CUBLAS_STATUS_SUCCESS;
    default:
      return CUBLAS_STATUS_INVALID_VALUE;
  }
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t of,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preferred, int most,
                                              cublasLtMatmulHeuristicResult_t results[], int* count) {
  if (const auto status = entered("cublasLtMatmulAlgoGetHeuristic"); status != CUBLAS_STATUS_SUCCESS) return status;
  if (handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  const auto product = describe(of, a, b, c, d);
  if (product == nullptr || preferred == nullptr || most <= 0) return CUBLAS_STATUS_INVALID_VALUE;
  const auto& preference = *static_cast<Preference*>(preferred);
  *count = 0;
  if (product->check() != CUBLAS_STATUS_SUCCESS || product->of.has(state().withdrawn_epilogues))
    return CUBLAS_STATUS_NOT_SUPPORTED;
  const bool bias_aligned = !product->of.has(kFakeBias) || reinterpret_cast<uintptr_t>(product->of.bias) % kVector == 0;
  for (int i = 0; i < kAlgorithms && *count < most; ++i) {
    const auto algorithm = static_cast<FakeAlgorithm>(i);
    if (algorithm == FakeAlgorithm::kAligned &&
        (preference.alignment < kVector || !layouts_are_aligned(*product) || !bias_aligned))
      continue;
    const uint32_t reduction = reduction_of(algorithm);
    if (reduction != 0 && (reduction & preference.reductions) == 0) continue;
    if (workspace_of(algorithm) > preference.workspace || state().withdrawn.contains(algorithm)) continue;
    cublasLtMatmulHeuristicResult_t& result = results[(*count)++];
    result = {};
    result.state = algorithm == FakeAlgorithm::kUnsupported ? CUBLAS_STATUS_NOT_SUPPORTED : CUBLAS_STATUS_SUCCESS;
    if (result.state != CUBLAS_STATUS_SUCCESS) continue;
    result.algo.data[0] = kMagic;
    result.algo.data[1] = static_cast<uint64_t>(i);
    result.algo.data[2] = kind_of(*product);
    result.workspaceSize = workspace_of(algorithm);
  }
  return *count > 0 ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
}

cublasStatus_t cublasLtMatmulAlgoCheck(cublasLtHandle_t handle, cublasLtMatmulDesc_t of, cublasLtMatrixLayout_t a,
                                       cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                       const cublasLtMatmulAlgo_t* algorithm, cublasLtMatmulHeuristicResult_t* result) {
  if (const auto status = entered("cublasLtMatmulAlgoCheck"); status != CUBLAS_STATUS_SUCCESS) return status;
  if (handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  const auto product = describe(of, a, b, c, d);
  if (product == nullptr || result == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  if (const auto status = product->check(); status != CUBLAS_STATUS_SUCCESS) return status;
  FakeAlgorithm which;
  if (const auto status = check_algorithm(algorithm, *product, which); status != CUBLAS_STATUS_SUCCESS) return status;
  result->workspaceSize = workspace_of(which);
  result->state = CUBLAS_STATUS_SUCCESS;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t of, const void* alpha, const void* a,
                              cublasLtMatrixLayout_t a_layout, const void* b, cublasLtMatrixLayout_t b_layout,
                              const void* beta, const void* c, cublasLtMatrixLayout_t c_layout, void* d,
                              cublasLtMatrixLayout_t d_layout, const cublasLtMatmulAlgo_t* algorithm, void* workspace,
                              size_t workspace_bytes, cudaStream_t stream) {
  if (const auto status = entered("cublasLtMatmul"); status != CUBLAS_STATUS_SUCCESS) return status;
  if (handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  auto product = describe(of, a_layout, b_layout, c_layout, d_layout);
  if (product == nullptr || alpha == nullptr || beta == nullptr || a == nullptr || b == nullptr || d == nullptr)
    return CUBLAS_STATUS_INVALID_VALUE;
  const auto factor = [&](const void* at) {
    return product->of.scale == CUDA_R_64F ? *static_cast<const double*>(at) : double{*static_cast<const float*>(at)};
  };
  product->alpha = factor(alpha);
  product->beta = factor(beta);
  product->a_data = a;
  product->b_data = b;
  product->c_data = c;
  product->d_data = d;
  if (c == nullptr && product->beta != 0) return CUBLAS_STATUS_INVALID_VALUE;
  if (const auto status = product->check(); status != CUBLAS_STATUS_SUCCESS) return status;
  FakeAlgorithm which;
  const std::lock_guard lock(state().mutex);
  if (const auto status = check_algorithm(algorithm, *product, which); status != CUBLAS_STATUS_SUCCESS) return status;
  if (which == FakeAlgorithm::kAligned && !data_is_aligned(*product)) return CUBLAS_STATUS_INVALID_VALUE;
  if (which == FakeAlgorithm::kBroken) return CUBLAS_STATUS_NOT_SUPPORTED;
  if (workspace_of(which) > workspace_bytes) return CUBLAS_STATUS_INVALID_VALUE;
  // Whatever the algorithm: it is documented to be aligned to 256 bytes.
  if (reinterpret_cast<uintptr_t>(workspace) % 256 != 0) return CUBLAS_STATUS_INVALID_VALUE;
  ++state().epilogues[static_cast<unsigned>(product->of.epilogue)];
  const int microseconds = state().microseconds[static_cast<int>(which)];
  state().given.push_back(std::make_unique<Given>(Given{std::move(*product), which, microseconds, workspace}));
  state().launch(stream, run_given, state().given.back().get());
  return CUBLAS_STATUS_SUCCESS;
}

FakeCublasLtControl fake_cublaslt_control() {
  return {.reset =
              [](FakeCublasLtLaunch launch) {
                const std::lock_guard lock(state().mutex);
                state().launch = launch;
                state().failing.clear();
                state().withdrawn.clear();
                state().withdrawn_epilogues = 0;
                std::fill(std::begin(state().microseconds), std::end(state().microseconds), 0);
                state().calls.clear();
                for (auto& products : state().products) products = 0;
                state().epilogues.clear();
                state().given.clear();
              },
          .fail_next =
              [](const char* function, cublasStatus_t status) {
                const std::lock_guard lock(state().mutex);
                state().failing = function;
                state().failure = status;
              },
          .withdraw = [](FakeAlgorithm algorithm) { state().withdrawn.insert(algorithm); },
          .withdraw_epilogue = [](unsigned bit) { state().withdrawn_epilogues |= bit; },
          .slow_down = [](FakeAlgorithm algorithm,
                          int microseconds) { state().microseconds[static_cast<int>(algorithm)] = microseconds; },
          .calls =
              [](const char* function) {
                const std::lock_guard lock(state().mutex);
                return state().calls[function];
              },
          .products = [](FakeAlgorithm algorithm) { return state().products[static_cast<int>(algorithm)].load(); },
          .epilogues = [](unsigned epilogue) { return state().epilogues[epilogue]; },
          .live = [] { return state().live.load(); }};
}

}  // extern "C"
