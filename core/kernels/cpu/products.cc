// Einsum: matrix products through core/kernels/gemm.h, or loops where they are too small for a library.
#include "core/kernels/cpu/einsum_plan.h"
#include "core/kernels/cpu/kernel_case.h"
#include "core/kernels/cpu/parallel.h"
#include "core/ops/einsum.h"

namespace synthesizer {
namespace {

struct Offsets {
  int64_t a = 0, b = 0, c = 0;
};

Offsets offsets(const std::vector<EinsumDim>& dims, int64_t index) {
  Offsets at;
  for (size_t d = dims.size(); d-- > 0;) {
    const int64_t i = index % dims[d].size;
    index /= dims[d].size;
    at.a += i * dims[d].a;
    at.b += i * dims[d].b;
    at.c += i * dims[d].c;
  }
  return at;
}

template <typename T>
class ProductEinsum : public Kernel {
 public:
  ProductEinsum(const EinsumPlan& plan, const CpuContext& context)
      : plan_(plan), first_(make_gemm(plan.product(kDTypeOf<T>, false), context.gemm_threads(), context.counters)) {
    if (plan.sum_count() > 1)
      next_ = make_gemm(plan.product(kDTypeOf<T>, true), context.gemm_threads(), context.counters);
  }

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void* workspace) override {
    const T* a = input<T>(inputs, plan_.swapped ? 1 : 0);
    const T* b = input<T>(inputs, plan_.swapped ? 0 : 1);
    T* c = output<T>(outputs, 0);
    const int64_t loops = plan_.loop_count(), sums = plan_.sum_count();
    for (int64_t i = 0; i < loops; ++i) {
      const Offsets at = offsets(plan_.loops, i);
      for (int64_t j = 0; j < sums; ++j) {
        const Offsets sum = offsets(plan_.sums, j);
        (j == 0 ? first_ : next_)->run(a + at.a + sum.a, b + at.b + sum.b, c + at.c, workspace);
      }
    }
  }

 private:
  EinsumPlan plan_;
  std::unique_ptr<Gemm> first_, next_;
};

template <typename T>
class LoopEinsum : public Kernel {
 public:
  LoopEinsum(const EinsumPlan& plan, const CpuContext& context)
      : plan_(plan), context_(context), loops_(context.loops.of<T>()) {
    shape_ = {plan.m.size, plan.n.size, plan.k.size, plan.m.a, plan.k.a, plan.k.b, plan.n.b, plan.m.c, plan.n.c};
  }

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void*) override {
    const T* a = input<T>(inputs, 0);
    const T* b = input<T>(inputs, 1);
    T* c = output<T>(outputs, 0);
    const int64_t sums = plan_.sum_count(), cost = plan_.m.size * plan_.n.size * plan_.k.size;
    parallel_ranges(context_.threads, plan_.loop_count(), cost * sums, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const Offsets at = offsets(plan_.loops, i);
        for (int64_t j = 0; j < sums; ++j) {
          const Offsets sum = offsets(plan_.sums, j);
          one(a + at.a + sum.a, b + at.b + sum.b, c + at.c, j > 0);
        }
      }
    });
    context_.count(&KernelCounters::product_flops, 2 * plan_.loop_count() * sums * cost);
  }

 private:
  void one(const T* a, const T* b, T* c, bool add) const {
    if (plan_.kind == EinsumPlan::Kind::kSmall) {
      loops_.small_product(shape_, a, b, c, add);
    } else {
      loops_.multiply(a, plan_.m.a, plan_.k.a, b, plan_.m.b, plan_.k.b, c, plan_.m.c, plan_.m.size, plan_.k.size, add);
    }
  }

  EinsumPlan plan_;
  CpuContext context_;
  Loops<T> loops_;
  SmallProduct shape_;
};

template <typename T>
std::unique_ptr<Kernel> make(const EinsumPlan& plan, const CpuContext& context) {
  if (plan.kind == EinsumPlan::Kind::kProducts) return std::make_unique<ProductEinsum<T>>(plan, context);
  return std::make_unique<LoopEinsum<T>>(plan, context);
}

std::unique_ptr<Kernel> make_einsum(const KernelCase& c) {
  const EinsumPlan plan = plan_einsum(c.in(0), c.in(1), c.out(0));
  if (c.outputs[0].dtype == DType::kFloat32) return make<float>(plan, c.context);
  if (c.outputs[0].dtype == DType::kFloat64) return make<double>(plan, c.context);
  fail("[einsum] no kernel for {}: expected f32 or f64", to_string(c.outputs[0].dtype));
}

int64_t einsum_workspace(const KernelCase& c) {
  const EinsumPlan plan = plan_einsum(c.in(0), c.in(1), c.out(0));
  if (plan.kind != EinsumPlan::Kind::kProducts) return 0;
  return gemm_workspace(plan.product(c.outputs[0].dtype, false), c.context.gemm_threads());
}

}  // namespace

std::span<const KernelEntry> product_kernels() {
  static const KernelEntry kEntries[] = {{&typeid(Einsum), make_einsum, einsum_workspace}};
  return kEntries;
}

}  // namespace synthesizer
