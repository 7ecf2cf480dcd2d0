// Where model code stands while it builds: the graph, the name of the block, and how the block is to be built.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/attention/initial.h"
#include "core/graph/graph.h"

namespace synthesizer {

// Holds for a whole model.
struct BuildContext {
  Graph* graph = nullptr;
  DType dtype = DType::kFloat32;        // of parameters, and of what is calculated from them alone
  DType activations = DType::kFloat32;  // of what there is for each example: dtype, or bf16
  DType residual = DType::kFloat32;     // of the stream that blocks add to: either
  double dropout = 0;                   // rate; 0 where nothing is to be dropped (evaluation)
  bool dropout_broadcast = true;        // one mask for all positions of a row, as T5 has it
  uint64_t seed = 0;                    // of dropout
  Value step;                           // i64 [], of dropout; no value where nothing is dropped
  bool fused = true;                    // ops that do the work of several; false: these
  std::vector<int64_t> alignments;      // layers (0: the first) of each stack whose self-attention is to be looked at
};

// A block of the model. Parameters are named prefix + "." + name, nodes prefix + "/" + op.
// A Scope must be left in the order it was entered (it sets the graph's scope while it lives).
class Scope {
 public:
  // The root: no prefix. `context` outlives the scope.
  explicit Scope(const BuildContext& context) : Scope(context, "", "") {}
  // The block `part` of `parent`: "encoder", "layers.0", "self_attention".
  Scope(const Scope& parent, std::string_view part) : Scope(parent.context_, parent.prefix_, part) {}

  Graph& graph() const { return *context_.graph; }
  DType dtype() const { return context_.dtype; }
  DType activations() const { return context_.activations; }
  DType residual() const { return context_.residual; }
  const BuildContext& context() const { return context_; }
  const std::string& prefix() const { return prefix_; }

  // A trained tensor; asked for again by the same name it is the same one.
  Value parameter(std::string_view name, Shape shape, Initializer initializer) const;
  // A tensor that is drawn once and never trained.
  Value fixed(std::string_view name, Shape shape, Initializer initializer) const;

  // Whether anything is dropped at all.
  bool drops() const { return context_.dropout > 0; }
  // Dropout of a block's activations; T5 shares the mask along `length`.
  Value dropout(Value x) const;
  // Dropout with the mask shared along exactly `shared`.
  Value dropout(Value x, const DimNames& shared) const;

 private:
  Scope(const BuildContext& context, const std::string& above, std::string_view part);
  std::string full_name(std::string_view name) const;

  const BuildContext& context_;
  std::string prefix_;
  ScopedName scoped_;
};

}  // namespace synthesizer
