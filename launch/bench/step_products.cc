#include "launch/bench/step_products.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "core/base/error.h"
#include "core/base/philox.h"
#include "core/graph/leaf.h"
#include "core/graph/passes.h"
#include "core/graph/report.h"
#include "core/graph/schedule.h"
#include "core/kernels/einsum_plan.h"
#include "core/kernels/logit_blocks.h"
#include "core/ops/cross_entropy.h"
#include "core/ops/einsum.h"

namespace synthesizer {
namespace {

std::unique_ptr<Graph> unfused(StepGraphOptions options) {
  options.passes = false;
  // Equal products are made once in the step too.
  return merge_common(*training_graph(options, nullptr));
}

}  // namespace

// One rank's cross-entropy, or its gradient.
struct StepProducts::CrossEntropy {
  LogitBlocks blocks;
  std::byte *x = nullptr, *table = nullptr, *dx = nullptr, *dtable = nullptr;  // no dx: forward
  bool logits = true;                                                          // whether they are made
};

StepProducts::StepProducts(const StepGraphOptions& options, const KernelTable& kernels, GemmThreads threads)
    : graph_(unfused(options)),
      store_(*graph_),
      memory_(plan_memory(*graph_, schedule(*graph_), kernels)),
      arena_(memory_.arena_bytes) {
  int64_t known = 0;  // operations of the ops that are looked at, all that they do
  for (const Node& node : graph_->nodes()) {
    const auto of_cross_entropy = [&](const VocabularyPart& part) {
      return CrossEntropy{LogitBlocks(graph_->type(node.inputs[0]), graph_->type(node.inputs[1]).shape, part),
                          address(node.inputs[0]), address(node.inputs[1])};
    };
    if (dynamic_cast<const Einsum*>(node.op.get()) != nullptr) {
      add_einsum(node, kernels);
    } else if (const auto* loss = dynamic_cast<const LinearCrossEntropy*>(node.op.get())) {
      add_cross_entropy(of_cross_entropy(loss->part()), threads);
    } else if (const auto* gradient = dynamic_cast<const LinearCrossEntropyGradient*>(node.op.get())) {
      CrossEntropy op = of_cross_entropy(gradient->part());
      op.logits = !gradient->options().kept;
      op.dx = address({node.id, 0});
      op.dtable = address({node.id, 1});
      add_cross_entropy(op, threads);
    } else {
      continue;
    }
    const Cost cost = node.op->cost(graph_->input_types(node), node.outputs);
    known += cost.flops - cost.again;
  }
  CHECK(known == product_flops(*graph_), "the step has products in ops that are neither einsum nor cross-entropy");
  workspace_ = Storage(workspace_bytes_);
  store_.initialize(1);
}

std::byte* StepProducts::address(ValueRef ref) {
  if (const auto it = memory_.persistent.find(ref); it != memory_.persistent.end())
    return store_.address(store_.at(it->second));
  return arena_.data() + memory_.offsets.at(ref);
}

void StepProducts::add_einsum(const Node& node, const KernelTable& kernels) {
  const std::vector<ValueType> types = graph_->input_types(node);
  // What is too small for a library, or has no rows or columns, is no matrix product.
  if (plan_einsum(types[0].shape, types[1].shape, node.outputs[0].shape).kind != EinsumPlan::Kind::kProducts) return;
  const std::shared_ptr<Kernel> kernel = kernels.make(*node.op, types, node.outputs, {});
  workspace_bytes_ = std::max(workspace_bytes_, kernels.workspace(*node.op, types, node.outputs));
  flops_ += node.op->cost(types, node.outputs).flops;
  products_.push_back(
      [this, kernel, inputs = std::array<void*, 2>{address(node.inputs[0]), address(node.inputs[1])},
       output = std::array<void*, 1>{address({node.id, 0})}] { kernel->run(inputs, output, workspace_.data()); });
}

void StepProducts::add_cross_entropy(const CrossEntropy& op, GemmThreads threads) {
  const LogitBlocks& b = op.blocks;
  const int64_t size = size_of(b.dtype), wide = size_of(compute_type(b.dtype));
  scratch_.push_back(
      Storage(b.logits_bytes() + b.gradient_bytes() + b.copy_bytes() + b.gradient_copy_bytes() + b.dx_bytes()));
  std::byte* const logits = scratch_.back().data();
  std::byte* const dlogits = b.narrow() ? logits + b.logits_bytes() : logits;
  std::byte* const copy = logits + b.logits_bytes() + b.gradient_bytes();
  std::byte* const dcopy = copy + b.copy_bytes();
  std::byte* const dx_sum = dcopy + b.gradient_copy_bytes();
  for (int64_t row = 0; row < b.rows; row += kRows) {
    const int64_t m = std::min(kRows, b.rows - row), x_at = row * b.depth * size;
    for (int64_t word = 0; word < b.vocab; word += b.columns) {
      const int64_t n = std::min(b.columns, b.vocab - word), table_at = word * b.depth * wide;
      const std::byte* words = b.copied() ? copy : op.table + table_at;
      if (op.logits) add_gemm(b.logits(m, n), threads, op.x + x_at, words, logits);
      if (op.dx == nullptr) continue;
      add_gemm(b.dx(m, n, word > 0), threads, dlogits, words, b.narrow() ? dx_sum : op.dx + x_at);
      if (b.model_first)
        add_gemm(b.dtable(m, n, false), threads, op.x + x_at, dlogits, dcopy);
      else
        add_gemm(b.dtable(m, n, row > 0), threads, dlogits, op.x + x_at, op.dtable + table_at);
    }
  }
}

void StepProducts::add_gemm(const Product& product, GemmThreads threads, const void* a, const void* b, void* c) {
  // The blocks of an op differ in their addresses alone, and few in their size: a library's product is made once.
  std::shared_ptr<Gemm>& gemm =
      gemms_[{product.m, product.n, product.k, product.a.row, product.b.row, product.c.row, product.accumulate}];
  if (gemm == nullptr) gemm = make_gemm(product, threads, nullptr);
  workspace_bytes_ = std::max(workspace_bytes_, gemm_workspace(product, threads));
  flops_ += product.flops();
  products_.push_back([this, gemm, a, b, c] { gemm->run(a, b, c, workspace_.data()); });
}

void StepProducts::refill() {
  // Both halves of a word are the same number in bfloat16, of 1/16 to 1/8 and either sign: every floating-point type
  // reads plain numbers.
  std::array<uint32_t, 4096> words;
  for (uint32_t i = 0; i < words.size(); ++i) {
    const uint32_t half = (philox({i, 0, 0, 0}, philox_key(1))[0] & 0x807f) | 0x3d80;
    words[i] = half << 16 | half;
  }
  constexpr auto kBytes = static_cast<int64_t>(sizeof(words));
  const auto fill = [&](Storage& memory) {
    for (int64_t at = 0; at < memory.bytes(); at += kBytes)
      std::memcpy(memory.data() + at, words.data(), static_cast<size_t>(std::min(kBytes, memory.bytes() - at)));
  };
  fill(arena_);
  for (Storage& of_op : scratch_) fill(of_op);
}

void StepProducts::run() const {
  for (const auto& product : products_) product();
}

}  // namespace synthesizer
