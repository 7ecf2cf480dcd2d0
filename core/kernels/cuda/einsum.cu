// Einsum: matrix products by the library, or a kernel of its own where they are too small for one.
#include <algorithm>
#include <vector>

#include "core/kernels/cuda/device_code.h"
#include "core/kernels/cuda/kernel_case.h"
#include "core/kernels/cuda/launch.h"
#include "core/kernels/cuda/walk.h"
#include "core/kernels/einsum_plan.h"
#include "core/ops/einsum.h"
#include "core/ops/functors.h"
#include "core/tensor/storage.h"

namespace synthesizer::cuda {
namespace {

// An element of C before it is stored; `gate` of kReluGradient alone.
template <typename C, typename G>
__device__ C with_epilogue(Epilogue epilogue, C value, const G* gate, int64_t at) {
  if (epilogue == Epilogue::kRelu) return functors::Relu<Math>::value<C>(value, 1, 0);
  if (epilogue == Epilogue::kReluGradient) return value * functors::Relu<Math>::derivative<C>(widened(gate[at]));
  return value;
}

// How a small einsum is walked: its results, and the terms of each.
struct SmallWalk {
  DeviceWalk<3> results;  // strides of a, b, c
  DeviceWalk<2> terms;    // of a, b
  int64_t count = 1, length = 1;
};

// Thread by result.
template <typename T, typename Out>
__global__ void small_einsum_kernel(const T* a, const T* b, const Out* gate, Out* c, SmallWalk walk,
                                    Epilogue epilogue) {
  using C = Compute<T>;
  for (int64_t i = thread_of_grid(); i < walk.count; i += threads_of_grid()) {
    int64_t at[3];
    walk.results.offsets(i, at);
    C sum = 0;
    for (int64_t k = 0; k < walk.length; ++k) {
      int64_t term[2];
      walk.terms.offsets(k, term);
      sum += widened(a[at[0] + term[0]]) * widened(b[at[1] + term[1]]);
    }
    c[at[2]] = rounded<Out>(with_epilogue(epilogue, sum, gate, at[2]));
  }
}

// Block by result: of few results with many terms.
template <typename T, typename Out>
__global__ void long_einsum_kernel(const T* a, const T* b, const Out* gate, Out* c, SmallWalk walk, Epilogue epilogue) {
  using C = Compute<T>;
  int64_t at[3];
  walk.results.offsets(blockIdx.x, at);
  C sum = 0;
  for (int64_t k = threadIdx.x; k < walk.length; k += blockDim.x) {
    int64_t term[2];
    walk.terms.offsets(k, term);
    sum += widened(a[at[0] + term[0]]) * widened(b[at[1] + term[1]]);
  }
  sum = block_reduce<Sum, C>(sum, 0, reinterpret_cast<C*>(shared_memory()));
  if (threadIdx.x == 0) c[at[2]] = rounded<Out>(with_epilogue(epilogue, sum, gate, at[2]));
}

// What a product's result still needs: its epilogue, and rounding where it was summed in more precision. In place where
// From is To.
template <typename From, typename To>
__global__ void finish_product_kernel(const From* sums, const To* gate, To* c, int64_t n, Epilogue epilogue) {
  for (int64_t i = thread_of_grid(); i < n; i += threads_of_grid())
    c[i] = rounded<To>(with_epilogue(epilogue, widened(sums[i]), gate, i));
}

DeviceWalk<3> walk_of(const std::vector<EinsumDim>& dims) {
  Walk walk;
  for (const EinsumDim& dim : dims) {
    walk.size[walk.rank] = dim.size;
    const int64_t strides[Walk::kTensors] = {dim.a, dim.b, dim.c, 0};
    for (int t = 0; t < Walk::kTensors; ++t) walk.stride[t][walk.rank] = strides[t];
    ++walk.rank;
  }
  walk.merge();
  return DeviceWalk<3>(walk);
}

template <typename T, typename Out>
class SmallEinsum : public Kernel {
 public:
  SmallEinsum(const KernelCase& c, const EinsumPlan& plan)
      : context_(c.context), epilogue_(c.as<Einsum>().epilogue()), swapped_(plan.swapped) {
    std::vector<EinsumDim> results = plan.loops, terms = plan.sums;
    for (const EinsumDim& dim : plan.batch) results.push_back(dim);
    results.push_back(plan.m);
    results.push_back(plan.n);
    // Neighbours in C are neighbours of threads.
    std::stable_sort(results.begin(), results.end(), [](const EinsumDim& x, const EinsumDim& y) { return x.c > y.c; });
    terms.push_back(plan.k);
    for (const EinsumDim& dim : results) walk_.count *= dim.size;
    for (const EinsumDim& dim : terms) walk_.length *= dim.size;
    walk_.results = walk_of(results);
    walk_.terms = DeviceWalk<2>(walk_of(terms));
  }

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void*) override {
    const T *a = input<T>(inputs, swapped_ ? 1 : 0), *b = input<T>(inputs, swapped_ ? 0 : 1);
    const Out* gate = epilogue_ == Epilogue::kReluGradient ? input<Out>(inputs, 2) : nullptr;
    context_.count(&KernelCounters::product_flops, 2 * walk_.count * walk_.length);
    constexpr int64_t kLong = 256, kFew = 1 << 18;
    if (walk_.length >= kLong && walk_.count <= kFew)
      launch(context_.stream, {"long_einsum_kernel", walk_.count, kThreads, kThreads / kWarp * sizeof(Compute<T>)},
             long_einsum_kernel<T, Out>, a, b, gate, output<Out>(outputs, 0), walk_, epilogue_);
    else
      launch(context_.stream, {"small_einsum_kernel", blocks_for(walk_.count)}, small_einsum_kernel<T, Out>, a, b, gate,
             output<Out>(outputs, 0), walk_, epilogue_);
  }

 private:
  CudaContext context_;
  Epilogue epilogue_;
  bool swapped_;
  SmallWalk walk_;
};

// What an einsum by products is made of.
struct ProductsCase {
  explicit ProductsCase(const KernelCase& c)
      : plan(plan_einsum(c.in(0), c.in(1), c.out(0))),
        dtype(c.inputs[0].dtype),
        wide(c.as<Einsum>().wide()),
        epilogue(c.as<Einsum>().epilogue()) {
    // A sum of several products must not be rounded each.
    through_float = dtype == DType::kBFloat16 && plan.sum_count() > 1 && !wide;
  }
  bool by_products() const { return plan.kind == EinsumPlan::Kind::kProducts; }
  Product product(bool accumulate) const { return plan.product(dtype, wide || through_float, accumulate); }
  int64_t sums_bytes(const KernelCase& c) const {
    return through_float ? align_up(c.out(0).elements() * size_of(DType::kFloat32)) : 0;
  }

  EinsumPlan plan;
  DType dtype;
  bool wide, through_float = false;
  Epilogue epilogue;
};

template <typename T, typename Out>
class ProductEinsum : public Kernel {
 public:
  explicit ProductEinsum(const KernelCase& c)
      : context_(c.context), of_(c), count_(c.out(0).elements()), sums_bytes_(of_.sums_bytes(c)) {
    const ProductLibrary& library = *c.context.products;
    Product first = of_.product(false);
    if (of_.plan.sum_count() == 1) {
      first.epilogue = of_.epilogue == Epilogue::kRelu           ? ProductEpilogue::kRelu
                       : of_.epilogue == Epilogue::kReluGradient ? ProductEpilogue::kGate
                                                                 : ProductEpilogue::kNone;
      if (!library.takes_epilogue(first)) first.epilogue = ProductEpilogue::kNone;
    }
    finishes_ = of_.through_float || (of_.epilogue != Epilogue::kNone && first.epilogue == ProductEpilogue::kNone);
    gated_ = first.epilogue == ProductEpilogue::kGate;
    first_ = library.make(first);
    if (of_.plan.sum_count() > 1) next_ = library.make(of_.product(true));
  }

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void* workspace) override {
    const EinsumPlan& plan = of_.plan;
    const T *a = input<T>(inputs, plan.swapped ? 1 : 0), *b = input<T>(inputs, plan.swapped ? 0 : 1);
    const Out* gate = of_.epilogue == Epilogue::kReluGradient ? input<Out>(inputs, 2) : nullptr;
    Out* const y = output<Out>(outputs, 0);
    std::byte* const c = of_.through_float ? static_cast<std::byte*>(workspace) : reinterpret_cast<std::byte*>(y);
    const int64_t size = size_of(of_.product(false).c_type());
    std::byte* const space = static_cast<std::byte*>(workspace) + sums_bytes_;
    for (int64_t i = 0; i < plan.loop_count(); ++i) {
      const EinsumOffsets at = einsum_offsets(plan.loops, i);
      for (int64_t j = 0; j < plan.sum_count(); ++j) {
        const EinsumOffsets sum = einsum_offsets(plan.sums, j);
        (j == 0 ? first_ : next_)
            ->run(context_.stream, a + at.a + sum.a, b + at.b + sum.b,
                  EpilogueData{.gate = gated_ ? gate + at.c : nullptr}, c + at.c * size, space);
      }
    }
    if (!finishes_) return;
    const Grid grid{"finish_product_kernel", blocks_for(count_)};
    if (of_.through_float)
      launch(context_.stream, grid, finish_product_kernel<Compute<T>, Out>, reinterpret_cast<Compute<T>*>(c), gate, y,
             count_, of_.epilogue);
    else
      launch(context_.stream, grid, finish_product_kernel<Out, Out>, y, gate, y, count_, of_.epilogue);
  }

 private:
  CudaContext context_;
  ProductsCase of_;
  int64_t count_, sums_bytes_;
  bool finishes_, gated_;
  std::unique_ptr<DeviceGemm> first_, next_;
};

template <typename T, typename Out>
std::unique_ptr<Kernel> make_typed(const KernelCase& c) {
  const ProductsCase of(c);
  if (of.by_products()) return std::make_unique<ProductEinsum<T, Out>>(c);
  return std::make_unique<SmallEinsum<T, Out>>(c, of.plan);
}

std::unique_ptr<Kernel> make_einsum(const KernelCase& c) {
  const bool wide = c.as<Einsum>().wide();
  switch (c.inputs[0].dtype) {
    case DType::kFloat32:
      return make_typed<float, float>(c);
    case DType::kFloat64:
      return make_typed<double, double>(c);
    case DType::kBFloat16:
      return wide ? make_typed<BFloat16, float>(c) : make_typed<BFloat16, BFloat16>(c);
    default:
      fail("[einsum] no kernel for {}: expected f32, f64 or bf16", to_string(c.inputs[0].dtype));
  }
}

int64_t einsum_workspace(const KernelCase& c) {
  const ProductsCase of(c);
  return of.by_products() ? of.sums_bytes(c) + c.context.products->workspace_bytes() : 0;
}

}  // namespace

std::span<const KernelEntry> einsum_kernels() {
  static const KernelEntry kEntries[] = {{&typeid(Einsum), make_einsum, einsum_workspace}};
  return kEntries;
}

}  // namespace synthesizer::cuda
