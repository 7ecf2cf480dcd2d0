// What the ops' files share: checks of input types with messages of one form, and lines of partition tables.
#pragma once

#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/graph/op.h"

namespace synthesizer {

// "f32 [batch 8, length 512]".
std::string describe(const ValueType& type);

// Each throws Error "[op] …: got …, expected …" if it does not hold; `what` names the input.
void expect_count(std::string_view op, std::span<const ValueType> inputs, size_t count);
void expect_floating(std::string_view op, std::string_view what, const ValueType& type);
void expect_type(std::string_view op, std::string_view what, const ValueType& type, const ValueType& expected);
void expect_dim(std::string_view op, std::string_view what, const ValueType& type, std::string_view dim);
void expect_same_sizes(std::string_view op, const ValueType& a, const ValueType& b);  // of the dims both have
// All inputs of one floating-point type.
void expect_one_floating_type(std::string_view op, std::span<const ValueType> inputs);

// The all-whole rule, then for each dim of any input or output that is not in `except` the rule that splits it wherever
// it is: the table of an op that treats the elements along those dims independently.
std::vector<PartitionRule> independent_rules(std::span<const ValueType> inputs, std::span<const ValueType> outputs,
                                             const DimNames& except = {});
// Split along `dim` wherever it is, whole elsewhere.
PartitionRule split_rule(const std::string& dim, std::span<const ValueType> inputs, std::span<const ValueType> outputs);
// Partial in these inputs and outputs, whole in the others.
PartitionRule partial_rule(const Placement& partial, size_t inputs, std::initializer_list<size_t> partial_inputs,
                           size_t outputs, std::initializer_list<size_t> partial_outputs);

// Elements of all of them together.
int64_t total_elements(std::span<const ValueType> types);

}  // namespace synthesizer
