// Rows of horizontal fusions: rows of chains and of updates, put together.
#include <algorithm>

#include "core/ops/chain.h"
#include "core/ops/horizontal.h"
#include "tests/core/ops/op_case.h"
#include "tests/core/ops/op_runner.h"

namespace synthesizer {

std::vector<OpCase> chain_cases();
std::vector<OpCase> reduce_cases();
std::vector<OpCase> update_cases();

namespace {

// The row's node, in a graph of its own.
struct Built {
  Graph graph;
  const Node* node;

  explicit Built(const OpCase& row) {
    const auto leaves = add_leaves(graph, row, DType::kFloat32, whole_shapes(row));
    node = &row.build(graph, leaves, DType::kFloat32)[0].node();
  }
};
std::shared_ptr<const Op> op_of(const OpCase& row) { return Built(row).node->op; }

OpCase together(const std::string& label, const std::vector<OpCase>& rows) {
  std::vector<HorizontalFusion::Part> parts;
  OpCase c;
  c.op = "horizontal";
  c.label = label;
  c.bfloat16 = false;
  c.has_gradient = false;
  c.tolerance32 = c.tolerance64 = 0;
  int64_t bytes = 0;
  for (const OpCase& row : rows) {
    for (OpInput in : row.inputs) {
      in.name = std::to_string(parts.size()) + "." + in.name;
      c.inputs.push_back(in);
    }
    c.tolerance32 = std::max(c.tolerance32, row.tolerance32);
    c.tolerance64 = std::max(c.tolerance64, row.tolerance64);
    const Built built(row);
    const Node& node = *built.node;
    parts.push_back({node.op, row.inputs.size(), node.outputs.size()});
    bytes += node.op->cost(built.graph.input_types(node), node.outputs).bytes;
  }
  // One part's tensors at a time.
  const auto of_part = [rows](const auto& all, const auto& visit) {
    size_t first = 0;
    for (const OpCase& row : rows) {
      visit(row, std::vector<Tensor>(all.begin() + static_cast<std::ptrdiff_t>(first),
                                     all.begin() + static_cast<std::ptrdiff_t>(first + row.inputs.size())));
      first += row.inputs.size();
    }
  };
  c.adjust = [of_part](std::vector<Tensor>& all) {
    std::vector<Tensor> adjusted;
    of_part(all, [&](const OpCase& row, std::vector<Tensor> own) {
      if (row.adjust) row.adjust(own);
      for (Tensor& tensor : own) adjusted.push_back(std::move(tensor));
    });
    all = std::move(adjusted);
  };
  c.reference = [of_part](const std::vector<Tensor>& all) {
    std::vector<Tensor> results;
    of_part(all, [&](const OpCase& row, const std::vector<Tensor>& own) {
      for (Tensor& tensor : row.reference(own)) results.push_back(std::move(tensor));
    });
    return results;
  };
  const auto op = std::make_shared<HorizontalFusion>(parts);
  c.build = [op](Graph& g, In in, DType) { return g.add(op, in); };
  c.bytes = bytes;
  return c;
}

std::vector<OpCase> chains_of(ChainOrder order) {
  std::vector<OpCase> found;
  for (const OpCase& row : chain_cases())
    if (dynamic_cast<const Chain&>(*op_of(row)).order() == order) found.push_back(row);
  return found;
}

template <typename Wanted>
std::vector<OpCase> updates(const Wanted& wanted) {
  std::vector<OpCase> found;
  for (const OpCase& row : update_cases())
    if (row.op == "adamw" && wanted(op_of(row)->attributes())) found.push_back(row);
  return found;
}

}  // namespace

std::vector<OpCase> horizontal_cases() {
  std::string of_copies, plain;
  for (const OpCase& row : update_cases()) {
    if (row.op == "adamw" && row.label == "copy") of_copies = op_of(row)->attributes();
    if (row.op == "adamw" && row.label == "first_step") plain = op_of(row)->attributes();
  }
  std::vector<OpCase> mixed = update_cases();
  for (const OpCase& row : chain_cases())
    if (row.label == "rows" || row.label == "broadcast") mixed.push_back(row);
  std::vector<OpCase> rows = {
      together("elements", chains_of(ChainOrder::kElements)),
      together("reductions", chains_of(ChainOrder::kReduction)),
      together("rows_and_columns", chains_of(ChainOrder::kRowsAndColumns)),
      together("adamw", updates([&](const std::string& attributes) { return attributes == plain; })),
      together("adamw_with_copies", updates([&](const std::string& attributes) { return attributes == of_copies; })),
      together("mixed", mixed),
  };
  rows.back().all_rules = true;
  return rows;
}

}  // namespace synthesizer
