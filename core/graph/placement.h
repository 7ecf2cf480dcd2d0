// Where a value is on one mesh axis, and how an op maps the placements of its inputs to those of its outputs.
// The idea is Mesh TensorFlow's (Shazeer et al. 2018), with partial values as first-class citizens.
#pragma once

#include <memory>
#include <string>
#include <vector>

namespace synthesizer {

class Op;

struct Placement {
  enum class Kind {
    kWhole,       // every rank has all of it, the same
    kSplit,       // rank i has the i-th of equal blocks along `dim`
    kPartialSum,  // the value is the sum over the ranks
    kPartialMax,  // the value is the maximum over the ranks
  };
  Kind kind = Kind::kWhole;
  std::string dim;  // of kSplit

  static Placement whole() { return {}; }
  static Placement split(std::string dim) { return {Kind::kSplit, std::move(dim)}; }
  static Placement partial_sum() { return {Kind::kPartialSum, {}}; }
  static Placement partial_max() { return {Kind::kPartialMax, {}}; }
  // "whole", "split(heads)", "sum", "max"
  std::string to_string() const;
  bool operator==(const Placement&) const = default;
};

// One line of an op's partition table: with inputs placed so, running the op on each rank's blocks gives outputs placed
// so. (All placements speak of one axis; the pass treats the axes one after the other.)
struct PartitionRule {
  std::vector<Placement> inputs;
  std::vector<Placement> outputs;
};

// What an op that has sizes or positions among its attributes needs to know to become one rank's op.
struct AxisIndex {
  std::string axis;  // name, for messages and collectives
  int index = 0;     // this rank's
  int size = 1;
};

}  // namespace synthesizer
