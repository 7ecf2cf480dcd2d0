// Einsum: matrix products by the library, or a kernel of its own where they are too small for one.
#include <algorithm>
#include <vector>

#include "core/kernels/cuda/device/device_code.h"
#include "core/kernels/cuda/device/walk.h"
#include "core/kernels/cuda/kernel_case.h"
#include "core/kernels/cuda/product_finish.h"
#include "core/kernels/cuda/runtime/launch.h"
#include "core/kernels/einsum_plan.h"
#include "core/ops/einsum.h"
#include "core/tensor/storage.h"

namespace synthesizer::cuda {
namespace {

// How a small einsum is walked: its results, and the terms of each.
struct SmallWalk {
  DeviceWalk<3> results;  // strides of a, b, c
  DeviceWalk<2> terms;    // of a, b
  int64_t count = 1, length = 1;
};

// Thread by result.
template <typename T, typename Out>
__global__ void small_einsum_kernel(const T* a, const T* b, Finish<Out> finish, Out* c, SmallWalk walk) {
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
    c[at[2]] = rounded<Out>(finish.value(sum, at[2], finish.bias_of(at[2])));
  }
}

// Block by result: of few results with many terms.
template <typename T, typename Out>
__global__ void long_einsum_kernel(const T* a, const T* b, Finish<Out> finish, Out* c, SmallWalk walk) {
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
  if (threadIdx.x == 0) c[at[2]] = rounded<Out>(finish.value(sum, at[2], finish.bias_of(at[2])));
}

// What an einsum has besides its two operands.
struct EpilogueCase {
  explicit EpilogueCase(const KernelCase& c)
      : op(c.as<Einsum>()),
        count(c.out(0).elements()),
        columns(c.out(0).rank() == 0 ? 1 : c.out(0).dims().back().size) {
    if (op.has_bias()) bias = c.in(2).elements();
  }

  // All of it, of buffers.
  template <typename Out>
  Finish<Out> finish(std::span<void* const> inputs, std::span<void* const> outputs) const {
    Finish<Out> f;
    if (op.has_bias()) f.bias = input<Out>(inputs, 2), f.bias_count = bias;
    f.relu = op.epilogue() == Epilogue::kRelu || op.epilogue() == Epilogue::kReluWithMask;
    const size_t saved = op.inputs() - 1;
    if (op.epilogue() == Epilogue::kReluGradient) f.gate = input<Out>(inputs, saved);
    if (op.epilogue() == Epilogue::kReluGradientByMask) f.kept = input<unsigned char>(inputs, saved);
    if (op.epilogue() == Epilogue::kReluWithMask) f.above = output<unsigned char>(outputs, 1);
    f.mask_bytes = mask_words(columns) * 4;
    return f;
  }

  Einsum op;
  int64_t count, columns, bias = 0;  // elements: of the result, of its last dim, of the bias
};

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
  SmallEinsum(const KernelCase& c, const EinsumPlan& plan) : context_(c.context), epilogue_(c), swapped_(plan.swapped) {
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
    Out* const c = output<Out>(outputs, 0);
    // Masks are of rows, which this has not: another kernel's work.
    Finish<Out> finish = epilogue_.finish<Out>(inputs, outputs), here = finish;
    if (finish.has_mask()) here = {.bias = finish.bias, .bias_count = finish.bias_count};
    context_.count(&KernelCounters::product_flops, 2 * walk_.count * walk_.length);
    constexpr int64_t kLong = 256, kFew = 1 << 18;
    if (walk_.length >= kLong && walk_.count <= kFew)
      launch(context_.stream, {"long_einsum_kernel", walk_.count, kThreads, kThreads / kWarp * sizeof(Compute<T>)},
             long_einsum_kernel<T, Out>, a, b, here, c, walk_);
    else
      launch(context_.stream, {"small_einsum_kernel", blocks_for(walk_.count)}, small_einsum_kernel<T, Out>, a, b, here,
             c, walk_);
    if (!finish.has_mask()) return;
    finish.bias = nullptr;
    finish_product(context_.stream, c, finish, c, epilogue_.count, epilogue_.columns);
  }

 private:
  CudaContext context_;
  EpilogueCase epilogue_;
  bool swapped_;
  SmallWalk walk_;
};

// What an einsum by products is made of.
struct ProductsCase {
  explicit ProductsCase(const KernelCase& c)
      : plan(plan_einsum(c.in(0), c.in(1), c.out(0))),
        dtype(c.inputs[0].dtype),
        wide(c.as<Einsum>().wide()),
        epilogue(c) {
    // A sum of several products must not be rounded each.
    through_float = dtype == DType::kBFloat16 && plan.sum_count() > 1 && !wide;
  }
  bool by_products() const { return plan.kind == EinsumPlan::Kind::kProducts; }
  Product product(bool accumulate) const { return plan.product(dtype, wide || through_float, accumulate); }
  // The first of them, with what the library does itself of the epilogue.
  Product first(const ProductLibrary& library) const {
    const Product plain = product(false);
    if (!loops_are_aligned()) return plain;
    Product all = plain;
    if (plan.sum_count() > 1 || (epilogue.op.has_bias() && !plan.add_bias(epilogue.bias, all))) return plain;
    const Product biased = all;
    all.epilogue = of_product();
    if (library.takes_epilogue(all)) return all;
    return library.takes_epilogue(biased) ? biased : plain;
  }
  int64_t sums_bytes(const KernelCase& c) const {
    return through_float ? align_up(c.out(0).elements() * size_of(DType::kFloat32)) : 0;
  }

  EinsumPlan plan;
  DType dtype;
  bool wide, through_float = false;
  EpilogueCase epilogue;

 private:
  // Whether each of the products begins at a multiple of 16 bytes, as the first does.
  bool loops_are_aligned() const {
    const int64_t size = size_of(dtype), result = size_of(product(false).c_type());
    return std::all_of(plan.loops.begin(), plan.loops.end(), [&](const EinsumDim& dim) {
      return dim.size == 1 || (dim.a * size | dim.b * size | dim.c * result) % 16 == 0;
    });
  }
  ProductEpilogue of_product() const {
    // Rows of a mask are those of one product.
    const bool rows = plan.loop_count() * plan.batch[0].size * plan.batch[1].size == 1 &&
                      plan.n.size == epilogue.columns && (plan.m.size == 1 || plan.m.c == epilogue.columns);
    switch (epilogue.op.epilogue()) {
      case Epilogue::kRelu:
        return ProductEpilogue::kRelu;
      case Epilogue::kReluGradient:
        return ProductEpilogue::kGate;
      case Epilogue::kReluWithMask:
        return rows ? ProductEpilogue::kReluMask : ProductEpilogue::kNone;
      case Epilogue::kReluGradientByMask:
        return rows ? ProductEpilogue::kMask : ProductEpilogue::kNone;
      case Epilogue::kNone:
        break;
    }
    return ProductEpilogue::kNone;
  }
};

template <typename T, typename Out>
class ProductEinsum : public Kernel {
 public:
  explicit ProductEinsum(const KernelCase& c) : context_(c.context), of_(c), sums_bytes_(of_.sums_bytes(c)) {
    const ProductLibrary& library = *c.context.products;
    const Product first = of_.first(library);
    biased_ = first.bias;
    epilogue_ = first.epilogue != ProductEpilogue::kNone;
    first_ = library.make(first);
    if (of_.plan.sum_count() > 1) next_ = library.make(of_.product(true));
  }

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void* workspace) override {
    const EinsumPlan& plan = of_.plan;
    const T *a = input<T>(inputs, plan.swapped ? 1 : 0), *b = input<T>(inputs, plan.swapped ? 0 : 1);
    const Finish<Out> all = of_.epilogue.finish<Out>(inputs, outputs);
    Out* const y = output<Out>(outputs, 0);
    std::byte* const c = of_.through_float ? static_cast<std::byte*>(workspace) : reinterpret_cast<std::byte*>(y);
    const int64_t size = size_of(of_.product(false).c_type());
    std::byte* const space = static_cast<std::byte*>(workspace) + sums_bytes_;
    for (int64_t i = 0; i < plan.loop_count(); ++i) {
      const EinsumOffsets at = einsum_offsets(plan.loops, i);
      for (int64_t j = 0; j < plan.sum_count(); ++j) {
        const EinsumOffsets sum = einsum_offsets(plan.sums, j);
        (j == 0 ? first_ : next_)
            ->run(context_.stream, a + at.a + sum.a, b + at.b + sum.b, data(all, at.c), c + at.c * size, space);
      }
    }
    Finish<Out> rest = all;
    if (biased_) rest.bias = nullptr;
    if (epilogue_) rest = {.bias = rest.bias, .bias_count = rest.bias_count};
    const EpilogueCase& e = of_.epilogue;
    if (of_.through_float)
      finish_product(context_.stream, reinterpret_cast<const Compute<T>*>(c), rest, y, e.count, e.columns);
    else if (rest.has_work())
      finish_product(context_.stream, y, rest, y, e.count, e.columns);
  }

 private:
  // Of the product whose C begins at element `at`, what the library does.
  EpilogueData data(const Finish<Out>& all, int64_t at) const {
    EpilogueData data;
    if (biased_) data.bias = all.bias + at % all.bias_count;
    if (!epilogue_) return data;
    if (all.gate != nullptr) data.gate = all.gate + at;
    // Of a mask there is one product. What it only reads it gets as a pointer that may be written through.
    data.mask = all.above != nullptr ? all.above : const_cast<unsigned char*>(all.kept);
    return data;
  }

  CudaContext context_;
  ProductsCase of_;
  int64_t sums_bytes_;
  bool biased_, epilogue_;  // whether the library does it
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
