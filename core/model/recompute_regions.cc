#include "core/model/recompute_regions.h"

#include <algorithm>
#include <cctype>

#include "core/ops/window.h"
#include "core/tensor/dims.h"

namespace synthesizer {
namespace {

// A number for each query and key: keys are positions, Linformer's mixtures of them, the places of a window, or what
// FD's outer product has in the place of positions.
bool is_alignment(const Shape& shape) {
  const auto has_any = [&](std::initializer_list<DimName> dims) {
    return std::any_of(dims.begin(), dims.end(), [&](const DimName& dim) { return shape.has(dim.name); });
  };
  const bool keys = has_any({kMemoryLength, kMemoryPosition, kRank, kWindow}) ||
                    (shape.has(kFactorA.name) && shape.has(kFactorB.name));
  return keys && has_any({kLength, kPosition});
}

std::string alignment_of(const Node& node) {
  const bool is = std::any_of(node.outputs.begin(), node.outputs.end(),
                              [](const ValueType& type) { return is_alignment(type.shape); });
  return is ? "alignment" : "";
}

// "encoder.layers.3" of "encoder.layers.3.ffn/einsum", "decoder.steps.2" of "decoder.steps.2.layers.0.ffn/einsum" and
// of "decoder.steps.2/add" (stack.cc names them); "" of what is in no layer.
std::string layer_of(const Node& node) {
  const size_t begin = std::min(node.name.find(".layers."), node.name.find(".steps."));
  if (begin == std::string::npos) return "";
  size_t end = node.name.find('.', begin + 1) + 1;
  while (end < node.name.size() && std::isdigit(static_cast<unsigned char>(node.name[end]))) ++end;
  return node.name.substr(0, end);
}

}  // namespace

RecomputeRegions recompute_regions(Recompute choice) {
  switch (choice) {
    case Recompute::kAttention:
      return {.of = alignment_of, .keep_results = false};
    case Recompute::kBlock:
      return {.of = layer_of, .keep_results = true};
    case Recompute::kNone:
      break;
  }
  return {.of = [](const Node&) { return std::string(); }};
}

}  // namespace synthesizer
