#include <algorithm>

#include "core/base/hash.h"
#include "core/base/philox.h"
#include "core/ops/dropout.h"
#include "tests/core/ops/op_case.h"

namespace synthesizer {
namespace {

constexpr uint64_t kSeed = 0x123456789ABCDEF0;

// Whether element `e` of the mask is kept: the formula of dropout.h.
bool kept(uint64_t e, uint64_t step, uint64_t name, double rate) {
  const auto low = [](uint64_t v) { return static_cast<uint32_t>(v); };
  const auto high = [](uint64_t v) { return static_cast<uint32_t>(v >> 32); };
  const uint64_t block = e / 4, key = kSeed ^ (uint64_t{high(name)} << 32);
  const PhiloxCounter words = philox({low(block), high(block) ^ high(step), low(step), low(name)}, philox_key(key));
  return uniform_float(words[e % 4]) >= rate;
}

OpCase row(const std::string& label, const Shape& shape, double rate, const DimNames& shared, double step,
           bool all_rules = false) {
  OpCase c;
  c.op = "dropout";
  c.label = label;
  c.inputs = {{"x", shape}, {"step", {}, step, step, DType::kInt64}};
  c.build = [=](Graph&, In in, DType) { return std::vector{dropout(in[0], rate, shared, in[1], kSeed)}; };
  c.reference = [=](const auto& in) {
    Shape mask = shape;
    for (const std::string& dim : shared) mask = mask.without(dim);
    const auto at = static_cast<uint64_t>(in[1].data[0]);
    const uint64_t name = hash_name("dropout");  // the node's
    return std::vector{tabulate(shape, [&](const Index& i) {
      return kept(Tensor(mask).offset(i), at, name, rate) ? in[0](i) / (1 - rate) : 0;
    })};
  };
  c.all_rules = all_rules;
  return c;
}

// The second of three micro-batches.
OpCase micro_batch_row(const std::string& label, const Shape& shape, const DimNames& shared, bool interleaved,
                       bool all_rules = false) {
  OpCase c = row(label, shape, 0.4, shared, 5, all_rules);
  c.inputs.push_back({"micro_batch", {}, 1, 1, DType::kInt64});
  c.build = [=](Graph& g, In in, DType) {
    const Dropout whole(0.4, kSeed, hash_name("dropout"), shared, {shape, std::vector<int64_t>(shape.rank())});
    return std::vector{g.add_one(whole.in_micro_batches({3, interleaved}), in)};
  };
  c.reference = [=](const auto& in) {
    Shape mask = shape.with_size("batch", 3 * shape.size("batch"));
    for (const std::string& dim : shared) mask = mask.without(dim);
    const uint64_t name = hash_name("dropout");
    return std::vector{tabulate(shape, [&](const Index& i) {
      Index at = i;
      at["batch"] += shape.size("batch");
      return kept(Tensor(mask).offset(at), 5, name, 0.4) ? in[0](i) / (1 - 0.4) : 0;
    })};
  };
  return c;
}

}  // namespace

std::vector<OpCase> dropout_cases() {
  const Shape odd{kBatch(3), kLength(5), kModel(33)};
  const Shape even{kBatch(4), kLength(4), kHeads(4), kModel(12)};
  return {
      row("odd", odd, 0.1, {}, 0),
      row("late", odd, 0.5, {}, 5000000001),
      row("shared_middle", odd, 0.3, {"length"}, 7),
      row("shared_last", odd, 0.3, {"model"}, 7),
      row("shared_first", odd, 0.3, {"batch"}, 7),
      row("shared_two", odd, 0.3, {"batch", "model"}, 7),
      row("one", {kModel(1)}, 0.9, {}, 1),
      micro_batch_row("micro_batch", odd, {}, false),
      micro_batch_row("micro_batch_batch_last", {kLength(5), kBatch(3)}, {}, false),
      micro_batch_row("micro_batch_shared", odd, {"length"}, true),
      micro_batch_row("micro_batch_interleaved", even, {}, true, true),
      row("even", even, 0.4, {}, 3, true),
      row("even_shared", even, 0.4, {"length"}, 3, true),
  };
}

}  // namespace synthesizer
