// From a chain's steps to the program of the device's interpreter.
#include <algorithm>
#include <cstring>

#include "core/kernels/cuda/chain/chain_program.h"
#include "core/kernels/dropout_mask.h"
#include "core/ops/chain.h"
#include "core/ops/elementwise.h"
#include "core/ops/update.h"

namespace synthesizer::cuda {
namespace {

static_assert(Chain::kMostValues <= kNowhere, "slots, inputs and outputs are numbered in a byte");

class Compiler {
 public:
  explicit Compiler(const KernelCase& c) : case_(c), chain_(c.as<Chain>()), inputs_(chain_.inputs()) {
    const auto values = static_cast<size_t>(inputs_) + chain_.steps().size();
    slot_.assign(values, kNowhere);
    output_.assign(values, kNowhere);
    for (size_t r = 0; r < chain_.results().size(); ++r)
      output_[static_cast<size_t>(chain_.results()[r])] = static_cast<uint8_t>(r);
    find_reads(values);
    for (int input = 0; input < inputs_; ++input)
      if (last_read_[static_cast<size_t>(input)] >= 0) load(input);
    for (int s = 0; s < static_cast<int>(chain_.steps().size()); ++s) step(s);
  }

  std::vector<ChainCode> codes;
  std::vector<ChainLoad> loads;
  std::vector<ChainDim> dims;
  std::vector<ChainConstants> constants;
  std::vector<ChainMask> masks;
  std::vector<ChainSum> sums;
  int slots() const { return static_cast<int>(free_after_.size()); }

 private:
  const Op& op(int s) const { return *chain_.steps()[static_cast<size_t>(s)].op; }

  // The values that a step takes element by element.
  std::vector<int> operands(int s) const {
    const ChainStep& step = chain_.steps()[static_cast<size_t>(s)];
    if (dynamic_cast<const Assign*>(&op(s)) != nullptr) return {step.operands[1]};
    std::vector<int> read;
    for (size_t i = 0; i < step.operands.size(); ++i)
      if (step.reads_elements(i)) read.push_back(step.operands[i]);
    return read;
  }

  // The last step that reads each value, and whether all who read it come right behind the step that makes it.
  void find_reads(size_t values) {
    last_read_.assign(values, -1);
    needs_slot_.assign(values, 0);
    int latest = -1;  // the value that stays in registers
    for (int s = 0; s < static_cast<int>(chain_.steps().size()); ++s) {
      for (const int value : operands(s)) {
        last_read_[static_cast<size_t>(value)] = s;
        if (value != latest) needs_slot_[static_cast<size_t>(value)] = 1;
      }
      if (!is_chain_end(op(s))) latest = inputs_ + s;
    }
  }

  // A slot whose value is read by no step from `from` on. A step may write over what it reads.
  uint8_t take_slot(size_t value, int from) {
    size_t slot = 0;
    while (slot < free_after_.size() && free_after_[slot] > from) ++slot;
    if (slot == free_after_.size()) free_after_.push_back(0);
    free_after_[slot] = last_read_[value];
    return slot_[value] = static_cast<uint8_t>(slot);
  }

  // All are read before the first step: memory then brings them side by side.
  void load(int input) {
    const Shape* shapes[1] = {&case_.in(static_cast<size_t>(input))};
    ChainLoad load{static_cast<uint8_t>(input), take_slot(static_cast<size_t>(input), -1), 0, 0, 0};
    lie(shapes, load);
    loads.push_back(load);
  }

  // How the tensor lies in the index space: as a whole, or dims to walk.
  template <typename Placed>
  void lie(std::span<const Shape* const> shape, Placed& of) {
    Walk walk(chain_.over().dims(), shape);
    walk.merge();
    of.rank = static_cast<uint8_t>(walk.rank);
    of.dims = static_cast<int32_t>(dims.size());
    of.whole = chain_.over().elements() == 1 || (walk.rank == 1 && walk.stride[0][0] == 1);
    for (int d = 0; of.whole == 0 && d < walk.rank; ++d) dims.push_back({walk.size[d], walk.stride[0][d]});
  }

  void add_mask(const Dropout& op, const ChainStep& step) {
    const DropoutKey key(op);
    const WholeMask mask(op, chain_.over());
    ChainMask made{{key.key0, key.key1, key.name_low, key.threshold, mask.first, mask.between_micro_batches, 0},
                   key.scale,
                   static_cast<uint8_t>(step.operands[1]),
                   static_cast<uint8_t>(step.operands.size() > 2 ? step.operands[2] : kNowhere),
                   0,
                   0,
                   0};
    const Shape* shapes[1] = {&mask.shape};
    lie(shapes, made);
    masks.push_back(made);
  }

  void step(int s) {
    const auto value = static_cast<size_t>(inputs_ + s);
    const ChainStep& step = chain_.steps()[static_cast<size_t>(s)];
    const std::vector<int> of = operands(s);
    const auto place = [&](int operand) { return operand == latest_ ? kNowhere : slot_[static_cast<size_t>(operand)]; };
    ChainCode code{};
    code.a = place(of[0]);
    code.b = place(of.back());
    code.to = kNowhere;
    code.output = output_[value];
    if (const auto* reduce = dynamic_cast<const Reduce*>(step.op.get())) {
      code.op = reduce->function() == ReduceFunction::kSumSquares ? kSumSquaresOp : kSumOp;
      code.of = static_cast<uint8_t>(sums.size());
      const ReduceWalk walk(chain_.over(), case_.out(code.output), {});
      sums.push_back({code.output, ReducePlan(walk)});
    } else if (dynamic_cast<const Assign*>(step.op.get()) != nullptr) {
      const bool rounds = case_.inputs[static_cast<size_t>(step.operands[0])].dtype != chain_.dtype(case_.inputs);
      code.op = rounds ? kRoundOp : kAssignOp;
      code.of = static_cast<uint8_t>(step.operands[2]);
    } else {
      set_function(code, step);
      if (needs_slot_[value] != 0) code.to = take_slot(value, s);
      latest_ = inputs_ + s;
    }
    codes.push_back(code);
  }

  void set_function(ChainCode& code, const ChainStep& step) {
    const Op& op = *step.op;
    if (const auto* unary = dynamic_cast<const Unary*>(&op)) {
      code.op = static_cast<uint8_t>(kUnaryOps + static_cast<int>(unary->function()));
      if (unary->function() != UnaryFunction::kAffine) return;
      code.of = static_cast<uint8_t>(constants.size());
      constants.push_back({unary->scale(), unary->shift()});
    } else if (const auto* gradient = dynamic_cast<const UnaryGradient*>(&op)) {
      code.op = static_cast<uint8_t>(kGradientOps + static_cast<int>(gradient->function()));
    } else if (const auto* binary = dynamic_cast<const Binary*>(&op)) {
      code.op = static_cast<uint8_t>(kBinaryOps + static_cast<int>(binary->function()));
    } else if (const auto* dropout = dynamic_cast<const Dropout*>(&op)) {
      code.op = kDropoutOp;
      code.of = static_cast<uint8_t>(masks.size());
      add_mask(*dropout, step);
    } else {
      code.op = kCopyOp;
    }
  }

  const KernelCase& case_;
  const Chain& chain_;
  int inputs_;
  int latest_ = -1;
  std::vector<uint8_t> slot_, output_;       // by value
  std::vector<int> last_read_, needs_slot_;  // by value
  std::vector<int> free_after_;              // by slot
};

}  // namespace

ChainProgram::ChainProgram(const KernelCase& c) {
  Compiler compiled(c);
  sums_ = std::move(compiled.sums);
  ChainHeader header{};
  header.count = c.as<Chain>().over().elements();
  header.codes = static_cast<int32_t>(compiled.codes.size());
  header.loads = static_cast<int32_t>(compiled.loads.size());
  header.slots = compiled.slots();
  header.sums = static_cast<int32_t>(sums_.size());
  int32_t bytes = sizeof(ChainHeader);
  const auto room = [&](size_t size, int32_t& at) {
    at = bytes;
    bytes += static_cast<int32_t>((size + 7) / 8 * 8);
  };
  const auto bytes_of = [](const auto& list) { return list.size() * sizeof(list[0]); };
  room(c.inputs.size() * sizeof(void*), header.inputs_at);
  room(c.outputs.size() * sizeof(void*), header.outputs_at);
  room(sums_.size() * sizeof(ChainSumPlace), header.sums_at);
  room(bytes_of(compiled.constants), header.constants_at);
  room(bytes_of(compiled.masks), header.masks_at);
  room(bytes_of(compiled.dims), header.dims_at);
  room(bytes_of(compiled.loads), header.loads_at);
  room(bytes_of(compiled.codes), header.codes_at);
  header.bytes = (bytes + 15) / 16 * 16;
  words_.resize(static_cast<size_t>(header.bytes) / sizeof(Word));
  const auto put = [&](const auto& list, int32_t to) {
    if (!list.empty()) std::memcpy(at(to), list.data(), bytes_of(list));
  };
  std::memcpy(at(0), &header, sizeof(header));
  put(compiled.constants, header.constants_at);
  put(compiled.masks, header.masks_at);
  put(compiled.dims, header.dims_at);
  put(compiled.loads, header.loads_at);
  put(compiled.codes, header.codes_at);
}

void ChainProgram::set_memory(std::span<void* const> inputs, std::span<void* const> outputs,
                              std::span<double* const> partials) {
  const ChainHeader begin = header();
  std::memcpy(at(begin.inputs_at), inputs.data(), inputs.size_bytes());
  std::memcpy(at(begin.outputs_at), outputs.data(), outputs.size_bytes());
  for (size_t i = 0; i < sums_.size(); ++i) {
    const ChainSumPlace place{outputs[sums_[i].output], partials[i], sums_[i].plan.columns ? 0 : 1};
    std::memcpy(at(begin.sums_at) + i * sizeof(place), &place, sizeof(place));
  }
}

}  // namespace synthesizer::cuda
