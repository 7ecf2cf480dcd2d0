// The contract of an op: one immutable class that knows its types, its gradient (as graph nodes), what a split
// dimension does to it and what it costs. Kernels are elsewhere (core/kernels), found through the KernelTable.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/graph/placement.h"
#include "core/graph/value.h"

namespace synthesizer {

// Floating-point operations (a multiply-add counts two) and bytes read and written, of one run.
struct Cost {
  int64_t flops = 0;
  int64_t bytes = 0;
  int64_t again = 0;  // of the flops, in a gradient: what forward has done already
};

// An output that shares the memory of an input.
struct Alias {
  enum class Kind {
    kView,     // always the same bytes, read only (rename, merge): costs nothing, runs nothing
    kInPlace,  // may overwrite the input where this is its last use
    kUpdate,   // must overwrite the input, which is persistent (optimizer updates)
  };
  int output = 0;
  int input = 0;
  Kind kind = Kind::kInPlace;
};

// The node being differentiated.
struct GradientContext {
  std::span<const Value> inputs;
  std::span<const Value> outputs;
  std::span<const Value> output_gradients;  // no value where nothing flows back
  std::span<const char> needed;             // per input: whether anything asks for its gradient
  std::string_view name;                    // the forward node's name
};

class Op {
 public:
  virtual ~Op() = default;

  virtual std::string_view name() const = 0;
  // Everything besides the inputs that determines what the op computes, as text: for tables, and so that two nodes with
  // equal names, attributes and inputs can be merged. Ops that must never be merged (leaves) say so by pure() == false.
  virtual std::string attributes() const { return {}; }
  virtual bool pure() const { return true; }

  // Types of the outputs; throws Error "[op] …" if the inputs do not fit.
  virtual std::vector<ValueType> infer(std::span<const ValueType> inputs) const = 0;

  // One gradient an input (no value: none), built from ordinary ops. The default throws: "[op] has no gradient".
  virtual std::vector<Value> gradient(const GradientContext& context) const;

  // The partition table for these (global) types. Must contain the all-whole rule first, unless the op cannot be so.
  // Rules with kSplit name a dim of some input or output; the pass uses only those whose dim the layout maps to the
  // axis.
  virtual std::vector<PartitionRule> partition(std::span<const ValueType> inputs,
                                               std::span<const ValueType> outputs) const = 0;
  // The op that one rank runs under `rule`; null: this very op (nothing in its attributes depends on sizes or offsets).
  virtual std::shared_ptr<const Op> localize(const PartitionRule& rule, const AxisIndex& axis,
                                             std::span<const ValueType> inputs,
                                             std::span<const ValueType> outputs) const;

  // The default counts no operations and every input and output once.
  virtual Cost cost(std::span<const ValueType> inputs, std::span<const ValueType> outputs) const;

  virtual std::vector<Alias> aliases() const { return {}; }

  // Whether it talks to other ranks: a Program runs such nodes on its communication lane, while it goes on computing.
  virtual bool collective() const { return false; }
  // Whether the inputs must lie side by side in memory (each aligned), as one block that outputs take over.
  virtual bool contiguous() const { return false; }
};

// The rule with every input and output whole.
PartitionRule whole_rule(size_t inputs, size_t outputs);

// Bytes of all given types.
int64_t total_bytes(std::span<const ValueType> types);

}  // namespace synthesizer
