// The optimize passes that take what is done to a product's result into the product.
#pragma once

#include <memory>
#include <optional>

#include "core/graph/graph.h"
#include "core/ops/passes/fusion.h"

namespace synthesizer {

// einsum + bias, of a bias that lies along dims of one operand alone, the output's last  →  einsum with a bias, where
// nothing else reads the product. In bf16 it may be rounded once instead of twice, so this comes before recompute,
// which then makes again what was made; and after the partition, for a product that the partition splits is one of
// partial sums, and such have no bias.
std::unique_ptr<Graph> take_biases(const Graph& graph);

// The gradient of a relu by its mask, which the relu writes (Epilogue::kReluWithMask), where both are products of rows
// by columns, as feed-forward layers are: a GPU's library does these without another kernel. After fuse_exactly(); none
// changes by a bit where all is finite.
std::unique_ptr<Graph> use_relu_masks(const Graph& graph);

// Patterns of fuse_exactly().
std::optional<Fusion> relu_of_product(const Graph& graph, const Node& node, const Uses& uses);
std::optional<Fusion> relu_gradient_of_product(const Graph& graph, const Node& node, const Uses& uses);

}  // namespace synthesizer
