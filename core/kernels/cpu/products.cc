// Einsum: matrix products through core/kernels/gemm.h, or loops where they are too small for a library.
#include <algorithm>
#include <type_traits>

#include "core/kernels/cpu/kernel_case.h"
#include "core/kernels/cpu/parallel.h"
#include "core/kernels/einsum_plan.h"
#include "core/ops/einsum.h"
#include "core/ops/functors.h"
#include "core/tensor/bfloat16.h"
#include "core/tensor/storage.h"

namespace synthesizer {
namespace {

// What an einsum of this type is done by.
struct EinsumCase {
  explicit EinsumCase(const KernelCase& c)
      : op(c.as<Einsum>()), plan(plan_einsum(c.in(0), c.in(1), c.out(0))), dtype(c.inputs[0].dtype), wide(op.wide()) {
    by_products = plan.kind == EinsumPlan::Kind::kProducts;
    through_float = dtype == DType::kBFloat16 && (!by_products || (plan.sum_count() > 1 && !wide));
    if (op.has_bias()) bias = c.in(2).elements();
    first = plan.product(dtype, wide || through_float, false);
    if (by_products && !through_float && plan.sum_count() == 1) take_epilogue();
  }
  // Whether nothing is left to do behind the products.
  bool finished() const {
    return first.bias == op.has_bias() &&
           (op.epilogue() == Epilogue::kNone || first.epilogue != ProductEpilogue::kNone);
  }

  const Einsum& op;
  EinsumPlan plan;
  DType dtype;
  bool wide, by_products, through_float;
  int64_t bias = 0;  // elements
  Product first;     // what adds to nothing, with what it does itself of the epilogue

 private:
  void take_epilogue() {
    Product with = first;
    if (op.has_bias() && !plan.add_bias(bias, with)) return;
    if (op.has_bias() && takes_epilogue(with)) first = with;
    if (op.epilogue() == Epilogue::kRelu) with.epilogue = ProductEpilogue::kRelu;
    if (op.epilogue() == Epilogue::kReluGradient) with.epilogue = ProductEpilogue::kGate;
    if (takes_epilogue(with)) first = with;
  }
};

template <typename T>
class ProductEinsum : public Kernel {
 public:
  ProductEinsum(const EinsumCase& einsum, const CpuContext& context)
      : plan_(einsum.plan),
        wide_(einsum.first.wide),
        biased_(einsum.first.bias),
        gated_(einsum.first.epilogue == ProductEpilogue::kGate),
        bias_(einsum.bias) {
    first_ = make_gemm(einsum.first, context.gemm_threads(), context.counters);
    if (plan_.sum_count() > 1)
      next_ = make_gemm(plan_.product(kDTypeOf<T>, wide_, true), context.gemm_threads(), context.counters);
  }

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void* workspace) override {
    const T* a = input<T>(inputs, plan_.swapped ? 1 : 0);
    const T* b = input<T>(inputs, plan_.swapped ? 0 : 1);
    std::byte* c = output<std::byte>(outputs, 0);
    const std::byte* gate = gated_ ? input<std::byte>(inputs, 2) : nullptr;  // of a gradient, which has no bias
    const std::byte* bias = biased_ ? input<std::byte>(inputs, 2) : nullptr;
    const int64_t loops = plan_.loop_count(), sums = plan_.sum_count();
    const int64_t c_size = size_of(wide_ ? compute_type(kDTypeOf<T>) : kDTypeOf<T>);
    for (int64_t i = 0; i < loops; ++i) {
      const EinsumOffsets at = einsum_offsets(plan_.loops, i);
      for (int64_t j = 0; j < sums; ++j) {
        const EinsumOffsets sum = einsum_offsets(plan_.sums, j);
        const T *here_a = a + at.a + sum.a, *here_b = b + at.b + sum.b;
        std::byte* here_c = c + at.c * c_size;
        if (gated_)
          first_->run_with({.gate = gate + at.c * c_size}, here_a, here_b, here_c, workspace);
        else if (biased_)
          first_->run_with({.bias = bias + at.c % bias_ * c_size}, here_a, here_b, here_c, workspace);
        else
          (j == 0 ? first_ : next_)->run(here_a, here_b, here_c, workspace);
      }
    }
  }

 private:
  EinsumPlan plan_;
  bool wide_;            // whether C is of Compute<T>
  bool biased_, gated_;  // by the third input
  int64_t bias_;         // its elements
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
        const EinsumOffsets at = einsum_offsets(plan_.loops, i);
        for (int64_t j = 0; j < sums; ++j) {
          const EinsumOffsets sum = einsum_offsets(plan_.sums, j);
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

// bfloat16 by a kernel of float32: the output alone where it is a sum of several products, which must not be rounded
// each, or the inputs too.
class ThroughFloat : public Kernel {
 public:
  // `widened`: whether `inner` takes float inputs.
  ThroughFloat(const KernelCase& c, std::unique_ptr<Kernel> inner, bool widened)
      : context_(c.context),
        inner_(std::move(inner)),
        widened_(widened),
        rounds_(c.outputs[0].dtype == DType::kBFloat16),
        counts_{c.in(0).elements(), c.in(1).elements(), c.out(0).elements()} {}

  static int64_t workspace(const KernelCase& c, bool widened) {
    const bool rounds = c.outputs[0].dtype == DType::kBFloat16;
    return (widened ? float_bytes(c.in(0).elements()) + float_bytes(c.in(1).elements()) : 0) +
           (rounds ? float_bytes(c.out(0).elements()) : 0);
  }

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void* workspace) override {
    auto* space = static_cast<std::byte*>(workspace);
    void* in[2] = {inputs[0], inputs[1]};
    const auto& loops = context_.loops.bf16;
    for (size_t i = 0; widened_ && i < 2; ++i) {
      const auto* from = static_cast<const BFloat16*>(inputs[i]);
      auto* to = reinterpret_cast<float*>(space);
      in[i] = space;
      space += float_bytes(counts_[i]);
      parallel_ranges(context_.threads, counts_[i], 1,
                      [&](int64_t begin, int64_t end) { loops.load(from + begin, to + begin, end - begin); });
    }
    if (!rounds_) return inner_->run(in, outputs, space);
    auto* sums = reinterpret_cast<float*>(space);
    void* out[1] = {sums};
    inner_->run(in, out, space + float_bytes(counts_[2]));
    auto* to = output<BFloat16>(outputs, 0);
    parallel_ranges(context_.threads, counts_[2], 1,
                    [&](int64_t begin, int64_t end) { loops.store(sums + begin, to + begin, end - begin); });
  }

 private:
  static int64_t float_bytes(int64_t count) { return align_up(count * size_of(DType::kFloat32)); }

  CpuContext context_;
  std::unique_ptr<Kernel> inner_;
  bool widened_, rounds_;
  int64_t counts_[3];
};

// What the products do not do themselves, over the output; C is the output's type.
template <typename C>
class WithEpilogue : public Kernel {
 public:
  WithEpilogue(const KernelCase& c, const EinsumCase& einsum, std::unique_ptr<Kernel> inner)
      : context_(c.context),
        inner_(std::move(inner)),
        adds_(einsum.op.has_bias() && !einsum.first.bias),
        epilogue_(einsum.op.epilogue()),
        saved_(einsum.op.inputs() - 1),
        count_(c.out(0).elements()),
        bias_(einsum.bias) {
    if (einsum.op.has_mask()) columns_ = c.out(0).rank() == 0 ? 1 : c.out(0).dims().back().size;
  }

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void* workspace) override {
    inner_->run(inputs, outputs, workspace);
    C* const y = output<C>(outputs, 0);
    if (adds_) add(input<C>(inputs, 2), y);
    constexpr auto kRelu = static_cast<size_t>(UnaryFunction::kRelu);
    const auto& loops = context_.loops.of<C>();
    if (epilogue_ == Epilogue::kReluGradientByMask) return keep(input<uint32_t>(inputs, saved_), y);
    const bool relu = epilogue_ == Epilogue::kRelu || epilogue_ == Epilogue::kReluWithMask;
    const C* const gate = epilogue_ == Epilogue::kReluGradient ? input<C>(inputs, saved_) : nullptr;
    parallel_ranges(context_.threads, count_, 1, [&](int64_t begin, int64_t end) {
      if (relu) loops.unary[kRelu](y + begin, y + begin, end - begin, 1, 0);
      if (gate != nullptr) loops.unary_gradient[kRelu](gate + begin, y + begin, y + begin, end - begin);
    });
    if (epilogue_ == Epilogue::kReluWithMask) tell(y, output<uint32_t>(outputs, 1));
  }

 private:
  void add(const C* bias, C* y) const {
    constexpr auto kAdd = static_cast<size_t>(BinaryFunction::kAdd);
    const auto& loops = context_.loops.of<C>();
    parallel_ranges(context_.threads, count_ / bias_, bias_, [&](int64_t begin, int64_t end) {
      for (C* row = y + begin * bias_; row != y + end * bias_; row += bias_)
        loops.binary[kAdd](row, 1, bias, 1, row, bias_);
    });
  }
  // The body is given a row's first element and its first word.
  template <typename Body>
  void rows(const Body& body) const {
    const int64_t words = mask_words(columns_);
    parallel_ranges(context_.threads, count_ / columns_, columns_, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) body(row * columns_, row * words);
    });
  }
  void tell(const C* y, uint32_t* mask) const {
    rows([&](int64_t first, int64_t word) {
      std::fill_n(mask + word, mask_words(columns_), 0);
      for (int64_t j = 0; j < columns_; ++j)
        mask[word + j / 32] |= static_cast<uint32_t>(widened(y[first + j]) > 0) << j % 32;
    });
  }
  void keep(const uint32_t* mask, C* y) const {
    rows([&](int64_t first, int64_t word) {
      for (int64_t j = 0; j < columns_; ++j)
        if ((mask[word + j / 32] >> j % 32 & 1) == 0) y[first + j] = C();
    });
  }

  CpuContext context_;
  std::unique_ptr<Kernel> inner_;
  bool adds_;
  Epilogue epilogue_;
  size_t saved_;  // the input that is a relu's result or mask
  int64_t count_, bias_, columns_ = 1;
};

template <typename T>
std::unique_ptr<Kernel> make(const EinsumCase& einsum, const CpuContext& context) {
  if (einsum.by_products) return std::make_unique<ProductEinsum<T>>(einsum, context);
  if constexpr (std::is_same_v<T, BFloat16>)
    return std::make_unique<LoopEinsum<float>>(einsum.plan, context);
  else
    return std::make_unique<LoopEinsum<T>>(einsum.plan, context);
}

std::unique_ptr<Kernel> make_plain(const EinsumCase& einsum, const KernelCase& c) {
  if (einsum.dtype == DType::kFloat32) return make<float>(einsum, c.context);
  if (einsum.dtype == DType::kFloat64) return make<double>(einsum, c.context);
  if (einsum.dtype != DType::kBFloat16)
    fail("[einsum] no kernel for {}: expected f32, f64 or bf16", to_string(einsum.dtype));
  auto kernel = make<BFloat16>(einsum, c.context);
  if (!einsum.through_float) return kernel;
  return std::make_unique<ThroughFloat>(c, std::move(kernel), !einsum.by_products);
}

std::unique_ptr<Kernel> make_einsum(const KernelCase& c) {
  const EinsumCase einsum(c);
  std::unique_ptr<Kernel> kernel = make_plain(einsum, c);
  if (einsum.finished()) return kernel;
  const DType dtype = c.outputs[0].dtype;
  if (dtype == DType::kFloat32) return std::make_unique<WithEpilogue<float>>(c, einsum, std::move(kernel));
  if (dtype == DType::kFloat64) return std::make_unique<WithEpilogue<double>>(c, einsum, std::move(kernel));
  return std::make_unique<WithEpilogue<BFloat16>>(c, einsum, std::move(kernel));
}

int64_t einsum_workspace(const KernelCase& c) {
  const EinsumCase einsum(c);
  const int64_t around = einsum.through_float ? ThroughFloat::workspace(c, !einsum.by_products) : 0;
  if (!einsum.by_products) return around;
  return around + gemm_workspace(einsum.first, c.context.gemm_threads());
}

}  // namespace

std::span<const KernelEntry> product_kernels() {
  static const KernelEntry kEntries[] = {{&typeid(Einsum), make_einsum, einsum_workspace}};
  return kEntries;
}

}  // namespace synthesizer
