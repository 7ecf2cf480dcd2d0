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
#include "core/kernels/cpu/einsum_plan.h"
#include "core/ops/cross_entropy.h"
#include "core/ops/einsum.h"

namespace synthesizer {
namespace {

// As core/kernels/cpu/cross_entropy.cc cuts the logits.
constexpr int64_t kRows = 1024, kColumns = 1024;

std::unique_ptr<Graph> unfused(StepGraphOptions options) {
  options.passes = false;
  // Equal products are made once in the step too.
  return merge_common(*training_graph(options, nullptr));
}

Product matrices(DType dtype, int64_t m, int64_t n, int64_t k, MatrixStrides a, MatrixStrides b, MatrixStrides c,
                 bool accumulate = false) {
  Product product;
  product.dtype = dtype;
  product.m = m;
  product.n = n;
  product.k = k;
  product.a = a;
  product.b = b;
  product.c = c;
  product.accumulate = accumulate;
  return product;
}

}  // namespace

// One rank's cross-entropy, or its gradient.
struct StepProducts::CrossEntropy {
  CrossEntropy(const VocabularyPart& part, const ValueType& x, const ValueType& table) : dtype(x.dtype) {
    const Dim& model = x.shape.dims().back();
    depth = model.size;
    rows = x.shape.elements() / depth;
    const int64_t padded = table.shape.elements() / depth;
    words = part.words(padded);
    const bool model_first = table.shape.dims()[0].name == model.name;
    word_stride = model_first ? 1 : depth;
    model_stride = model_first ? padded : 1;
  }

  DType dtype;
  int64_t rows, words, depth, word_stride, model_stride;
  std::byte *x = nullptr, *table = nullptr, *dx = nullptr, *dtable = nullptr;  // no dx: forward
};

StepProducts::StepProducts(const StepGraphOptions& options, const KernelTable& kernels, GemmThreads threads)
    : graph_(unfused(options)),
      store_(*graph_),
      memory_(plan_memory(*graph_, schedule(*graph_), kernels)),
      arena_(memory_.arena_bytes),
      block_(kRows * kColumns * int64_t{sizeof(double)}) {
  int64_t known = 0;  // operations of the ops that are looked at, all that they do
  for (const Node& node : graph_->nodes()) {
    const auto of_cross_entropy = [&](const VocabularyPart& part) {
      CrossEntropy op(part, graph_->type(node.inputs[0]), graph_->type(node.inputs[1]));
      op.x = address(node.inputs[0]);
      op.table = address(node.inputs[1]);
      return op;
    };
    if (dynamic_cast<const Einsum*>(node.op.get()) != nullptr) {
      add_einsum(node, kernels);
    } else if (const auto* loss = dynamic_cast<const LinearCrossEntropy*>(node.op.get())) {
      add_cross_entropy(of_cross_entropy(loss->part()), threads);
    } else if (const auto* gradient = dynamic_cast<const LinearCrossEntropyGradient*>(node.op.get())) {
      CrossEntropy op = of_cross_entropy(gradient->part());
      op.dx = address({node.id, 0});
      op.dtable = address({node.id, 1});
      add_cross_entropy(op, threads);
    } else {
      continue;
    }
    known += node.op->cost(graph_->input_types(node), node.outputs).flops;
  }
  CHECK(known == product_flops(*graph_), "the step has products in ops that are neither einsum nor cross-entropy");
  workspace_ = Storage(workspace_bytes_);
  store_.initialize(1);
}

std::byte* StepProducts::address(ValueRef ref) const {
  if (const auto it = memory_.persistent.find(ref); it != memory_.persistent.end()) return store_.at(it->second).data;
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
  const int64_t size = size_of(op.dtype);
  const MatrixStrides words_by_model{{0, 0}, op.word_stride, op.model_stride},
      model_by_words{{0, 0}, op.model_stride, op.word_stride}, rows_by_model{{0, 0}, op.depth, 1};
  for (int64_t row = 0; row < op.rows; row += kRows) {
    const int64_t m = std::min(kRows, op.rows - row), x_at = row * op.depth * size;
    for (int64_t word = 0; word < op.words; word += kColumns) {
      const int64_t n = std::min(kColumns, op.words - word), table_at = word * op.word_stride * size;
      const MatrixStrides logits{{0, 0}, n, 1}, logits_transposed{{0, 0}, 1, n};
      add_gemm(matrices(op.dtype, m, n, op.depth, rows_by_model, model_by_words, logits), threads, op.x + x_at,
               op.table + table_at, block_.data());
      if (op.dx == nullptr) continue;
      add_gemm(matrices(op.dtype, m, op.depth, n, logits, words_by_model, rows_by_model, word > 0), threads,
               block_.data(), op.table + table_at, op.dx + x_at);
      // The result's own columns must lie densely.
      if (op.model_stride == 1)
        add_gemm(matrices(op.dtype, n, op.depth, m, logits_transposed, rows_by_model, words_by_model, row > 0), threads,
                 block_.data(), op.x + x_at, op.dtable + table_at);
      else
        add_gemm(matrices(op.dtype, op.depth, n, m, {{0, 0}, 1, op.depth}, logits, model_by_words, row > 0), threads,
                 op.x + x_at, block_.data(), op.dtable + table_at);
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
  for (int64_t at = 0; at < arena_.bytes(); at += kBytes)
    std::memcpy(arena_.data() + at, words.data(), static_cast<size_t>(std::min(kBytes, arena_.bytes() - at)));
}

void StepProducts::run() const {
  for (const auto& product : products_) product();
}

}  // namespace synthesizer
