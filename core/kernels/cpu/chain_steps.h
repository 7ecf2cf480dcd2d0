// The steps of a chain on one piece of its index space. A value is where it comes from or goes to (an input, an
// output), or in a register: a buffer that stays in the cache.
#pragma once

#include <algorithm>
#include <cstring>
#include <vector>

#include "core/kernels/cpu/cast_elements.h"
#include "core/kernels/cpu/kernel_case.h"
#include "core/kernels/dropout_mask.h"
#include "core/kernels/geometry.h"
#include "core/ops/chain.h"
#include "core/ops/elementwise.h"
#include "core/ops/update.h"

namespace synthesizer {

template <typename T>
class ChainSteps {
 public:
  // `longest`: elements of the longest piece.
  ChainSteps(const KernelCase& c, int64_t longest)
      : tables_(c.context.loops),
        loops_(tables_.of<T>()),
        inputs_(c.inputs.size()),
        longest_(longest),
        short_(std::min(longest, kShort)) {
    const Chain& chain = c.as<Chain>();
    for (size_t i = 0; i < inputs_; ++i) values_.push_back(input_value(c.in(i), chain.over()));
    for (size_t s = 0; s < chain.steps().size(); ++s) values_.push_back({});
    for (size_t r = 0; r < chain.results().size(); ++r)
      values_[static_cast<size_t>(chain.results()[r])].output = static_cast<int>(r);
    for (const ChainStep& step : chain.steps()) codes_.push_back(code_of(step, chain.over()));
    for (size_t s = 0; s < codes_.size(); ++s) {
      if (codes_[s].kind != Kind::kAssign) continue;
      const auto target = static_cast<size_t>(chain.steps()[s].operands[0]);
      if (c.inputs[target].dtype == kDTypeOf<T>) continue;
      codes_[s].kind = Kind::kRound;
      values_[target].rounded = true;
    }
    for (const Code& code : codes_) computes_ = computes_ || code.kind != Kind::kReduce;
    find_homes(chain);
  }

  // Elements that the registers need.
  int64_t register_elements() const { return shorts_ * short_ + longs_ * longest_; }

  // Elements [at, at + n) of the index space; `reduce(step, x)` is given what a reduction is to take up, n elements.
  // The steps go over a part at a time, which stays in the fastest cache; sums take up the piece as a whole. What lies
  // `ahead` elements further, to be read soon, is fetched meanwhile, since memory would else wait for the steps and
  // they for memory.
  template <typename Reduce>
  void run(std::span<void* const> inputs, std::span<void* const> outputs, T* registers, int64_t at, int64_t n,
           int64_t ahead, const Reduce& reduce) const {
    for (int64_t from = at; from < at + n; from += short_)
      part(inputs, outputs, registers, at, from, std::min(short_, at + n - from), ahead);
    for (size_t s = 0; s < codes_.size(); ++s)
      if (codes_[s].kind == Kind::kReduce) {
        const int value = codes_[s].a;
        reduce(static_cast<int>(s),
               value < static_cast<int>(inputs_)
                   ? input<T>(inputs, static_cast<size_t>(value)) + at
                   : home(values_[static_cast<size_t>(value)], inputs, outputs, registers, at, at));
      }
  }

 private:
  enum class Kind { kUnary, kGradient, kBinary, kCopy, kDropout, kReduce, kAssign, kRound };
  using C = Compute<T>;
  static constexpr int64_t kShort = 1024;      // elements of a part
  static constexpr int64_t kShortestRow = 64;  // shorter ones are copied side by side

  struct Place {
    T* data;         // of an input never written; of one by rows its first element
    int64_t stride;  // 1 or 0
    int64_t row;     // from one row to the next, -1: not by rows
  };
  // Where a part lies in the rows of the inputs that are taken by rows.
  struct Rows {
    int64_t first, column;
  };
  struct Value {
    bool rounded = false;  // a target of less precision: its elements are not T
    bool spread = false;   // an input that is the same along some dims, which `rows` walks
    bool filled = false;   // whose readers want each element in a place of its own
    bool by_rows = false;  // read where it lies, row by row
    Walk rows = {};
    int64_t length = 1, stride = 0;
    int output = -1;                // a result
    int target = -1, applied = -1;  // the result of the Assign that puts it there, if this input is not 0
    bool whole = false;             // of which a sum takes up whole pieces
    int place = -1;                 // register
  };
  struct Code {
    Kind kind = Kind::kCopy;
    int function = 0;
    C scale = 0, shift = 0;
    int a = 0, b = 0;
    int draw = 0;            // of a dropout
    std::vector<int> loads;  // inputs that no earlier step has read
  };

  static Value input_value(const Shape& shape, const Shape& over) {
    Value value;
    const Shape* shapes[1] = {&shape};
    value.rows = Walk(over.dims(), shapes);
    value.rows.merge();
    int64_t strides[Walk::kTensors];
    value.length = value.rows.take_last(strides);
    value.stride = strides[0];
    value.spread = over.elements() > 1 && (value.rows.rank > 0 || value.stride != 1);
    return value;
  }

  // Of a dropout: its mask as the index space lies in it.
  struct Draw {
    DropoutStream stream;
    C scale;
    int64_t first, between_micro_batches;
    Walk rows;
    int64_t length, stride;
    int step, micro_batch;  // inputs, -1: none
  };

  Code code_of(const ChainStep& step, const Shape& over) {
    Code code;
    code.a = code.b = step.operands[0];
    if (step.operands.size() > 1 && step.reads_elements(1)) code.b = step.operands[1];
    if (const auto* unary = dynamic_cast<const Unary*>(step.op.get())) {
      code.kind = Kind::kUnary;
      code.function = static_cast<int>(unary->function());
      code.scale = static_cast<C>(unary->scale());
      code.shift = static_cast<C>(unary->shift());
    } else if (const auto* gradient = dynamic_cast<const UnaryGradient*>(step.op.get())) {
      code.kind = Kind::kGradient;
      code.function = static_cast<int>(gradient->function());
    } else if (const auto* binary = dynamic_cast<const Binary*>(step.op.get())) {
      code.kind = Kind::kBinary;
      code.function = static_cast<int>(binary->function());
    } else if (const auto* dropout = dynamic_cast<const Dropout*>(step.op.get())) {
      code.kind = Kind::kDropout;
      code.draw = static_cast<int>(draws_.size());
      draws_.push_back(draw_of(*dropout, step, over));
    } else if (dynamic_cast<const Reduce*>(step.op.get()) != nullptr) {
      code.kind = Kind::kReduce;
    } else if (dynamic_cast<const Assign*>(step.op.get()) != nullptr) {
      code.kind = Kind::kAssign;
      code.a = step.operands[1];
      code.b = step.operands[2];
    }
    return code;
  }

  static Draw draw_of(const Dropout& op, const ChainStep& step, const Shape& over) {
    const DropoutKey key(op);
    const WholeMask mask(op, over);
    Draw draw{{key.key0, key.key1, 0, 0, key.name_low, key.threshold},
              static_cast<C>(key.scale),
              mask.first,
              mask.between_micro_batches,
              {},
              1,
              0,
              step.operands[1],
              step.operands.size() > 2 ? step.operands[2] : -1};
    const Shape* shapes[1] = {&mask.shape};
    draw.rows = Walk(over.dims(), shapes);
    draw.rows.merge();
    int64_t strides[Walk::kTensors];
    draw.length = draw.rows.take_last(strides);
    draw.stride = strides[0];
    return draw;
  }

  // Where each value lies: of one that is nowhere else a register, from the step that makes it to the last that reads
  // it.
  void find_homes(const Chain& chain) {
    const auto given = static_cast<int>(inputs_);
    for (int s = 0; s < static_cast<int>(codes_.size()); ++s) {
      const Code& code = codes_[static_cast<size_t>(s)];
      Value& a = values_[static_cast<size_t>(code.a)];
      if (code.kind != Kind::kBinary) a.filled = true;
      if (code.kind == Kind::kGradient) values_[static_cast<size_t>(code.b)].filled = true;
      if (code.kind == Kind::kReduce) a.whole = true;
      // It may go to its target at once, if nobody reads what was there any more.
      if (code.kind != Kind::kAssign || code.a < given || a.output >= 0 || a.target >= 0) continue;
      if (chain.last_read(chain.steps()[static_cast<size_t>(s)].operands[0]) > code.a - given) continue;
      a.target = values_[inputs_ + static_cast<size_t>(s)].output;
      a.applied = code.b;
    }
    for (const Value& value : values_)
      if (value.spread && value.rows.rank == 1 && value.length >= kShortestRow)
        row_ = row_ == 0 ? value.length : std::min(row_, value.length);
    for (Value& value : values_)
      value.by_rows = value.spread && !value.filled && value.rows.rank == 1 && value.length == row_ && value.stride < 2;
    std::vector<int> last;  // by register: the last step that reads what is there
    const auto take = [&](Value& value, int earliest, int until) {
      size_t r = 0;
      while (r < last.size() && last[r] >= earliest) ++r;
      if (r == last.size()) last.push_back(0);
      last[r] = until;
      value.place = static_cast<int>(r);
    };
    std::vector<char> loaded(inputs_);
    for (int s = 0; s < static_cast<int>(codes_.size()); ++s) {
      Code& code = codes_[static_cast<size_t>(s)];
      for (const int operand : {code.a, code.b}) {
        if (operand >= given || loaded[static_cast<size_t>(operand)]) continue;
        loaded[static_cast<size_t>(operand)] = 1;
        code.loads.push_back(operand);
        Value& value = values_[static_cast<size_t>(operand)];
        const bool one = value.rows.rank == 0 && value.stride == 0 && !value.filled;
        if (value.spread && !one && !value.by_rows) take(value, s, chain.last_read(operand));
      }
      // A step may write over what it reads: its loops take each element before they give it.
      Value& made = values_[inputs_ + static_cast<size_t>(s)];
      if (code.kind == Kind::kReduce || made.output >= 0) continue;
      if (made.whole)
        made.place = static_cast<int>(longs_++);
      else
        take(made, s + 1, std::max(s, chain.last_read(given + s)));
    }
    shorts_ = static_cast<int64_t>(last.size());
  }

  // Of a value that a step makes, element `at` of the piece that begins at `piece`.
  T* home(const Value& value, std::span<void* const> inputs, std::span<void* const> outputs, T* registers,
          int64_t piece, int64_t at) const {
    if (value.output >= 0) return output<T>(outputs, static_cast<size_t>(value.output)) + at;
    if (value.target >= 0 && widened(*input<T>(inputs, static_cast<size_t>(value.applied))) != 0)
      return output<T>(outputs, static_cast<size_t>(value.target)) + at;
    if (value.whole) return registers + shorts_ * short_ + value.place * longest_ + (at - piece);
    return registers + value.place * short_;
  }

  void part(std::span<void* const> inputs, std::span<void* const> outputs, T* registers, int64_t piece, int64_t at,
            int64_t n, int64_t ahead) const {
    Place places[Chain::kMostValues];
    const Rows rows = row_ == 0 ? Rows{0, 0} : Rows{at / row_, at % row_};
    for (size_t s = 0; s < codes_.size(); ++s) {
      const Code& code = codes_[s];
      for (const int input : code.loads) places[input] = load(inputs, input, registers, at, n);
      if (ahead > 0 && computes_) fetch(inputs, at + ahead, n, static_cast<int64_t>(s));
      if (code.kind == Kind::kReduce) continue;
      if (code.kind == Kind::kRound) {
        const auto to = static_cast<size_t>(values_[inputs_ + s].output);
        if (widened(*places[code.b].data) != 0)
          cast_elements(tables_, places[code.a].data, output<BFloat16>(outputs, to) + at, n);
        continue;
      }
      T* y = home(values_[inputs_ + s], inputs, outputs, registers, piece, at);
      places[inputs_ + s] = {y, 1, -1};
      const Place &a = places[code.a], &b = places[code.b];
      switch (code.kind) {
        case Kind::kUnary:
          loops_.unary[code.function](a.data, y, n, code.scale, code.shift);
          break;
        case Kind::kGradient:
          loops_.unary_gradient[code.function](a.data, b.data, y, n);
          break;
        case Kind::kBinary:
          binary(loops_.binary[code.function], a, b, rows, y, n);
          break;
        case Kind::kCopy:
          copy(a.data, y, n);
          break;
        case Kind::kDropout:
          drop(draws_[static_cast<size_t>(code.draw)], inputs, a.data, y, at, n);
          break;
        case Kind::kReduce:
        case Kind::kRound:
          break;
        case Kind::kAssign:  // b: whether to
          if (widened(*b.data) != 0) copy(a.data, y, n);
          break;
      }
    }
  }

  // Rows that lie behind each other may have the same mask: it is drawn once then.
  void drop(const Draw& draw, std::span<void* const> inputs, const T* x, T* y, int64_t at, int64_t n) const {
    const auto told = [&](int i) { return *input<int64_t>(inputs, static_cast<size_t>(i)); };
    DropoutStream stream = draw.stream;
    const auto step = static_cast<uint64_t>(told(draw.step));
    stream.step_low = static_cast<uint32_t>(step);
    stream.step_high = static_cast<uint32_t>(step >> 32);
    const int64_t first = draw.first + (draw.micro_batch < 0 ? 0 : told(draw.micro_batch) * draw.between_micro_batches);
    C mask[kShort];
    int64_t drawn_from = -1, drawn = 0;
    for (int64_t done = 0; done < n;) {
      const int64_t row = (at + done) / draw.length, column = (at + done) % draw.length;
      const int64_t count = draw.stride > 1 ? 1 : std::min(n - done, draw.length - column);
      const int64_t from = first + draw.rows.offset(row, 0) + column * draw.stride;
      if (const int64_t words = draw.stride == 0 ? 1 : count; from != drawn_from || words > drawn) {
        loops_.dropout_mask(stream, static_cast<uint64_t>(from), words, draw.scale, mask);
        drawn_from = from;
        drawn = words;
      }
      loops_.multiply_by(x + done, mask, draw.stride == 0 ? 0 : 1, y + done, count);
      done += count;
    }
  }

  // The step's share of what [at, at + n) is of the inputs that lie as the index space does. (Inlined: the compiler
  // takes a function that only fetches for one that does nothing.)
  [[gnu::always_inline]] void fetch(std::span<void* const> inputs, int64_t at, int64_t n, int64_t step) const {
    constexpr int64_t kLine = 64 / sizeof(T);
    const auto steps = static_cast<int64_t>(codes_.size());
    const int64_t end = n * (step + 1) / steps;
    for (size_t i = 0; i < inputs_; ++i) {
      if (values_[i].spread || values_[i].rounded) continue;
      const auto begin = reinterpret_cast<uintptr_t>(inputs[i]) + static_cast<uintptr_t>(at) * sizeof(T);
      for (int64_t e = n * step / steps / kLine * kLine; e < end; e += kLine)
        __builtin_prefetch(reinterpret_cast<const void*>(begin + static_cast<uintptr_t>(e) * sizeof(T)), 0, 2);
    }
  }

  template <typename Loop>
  void binary(Loop loop, const Place& a, const Place& b, Rows rows, T* y, int64_t n) const {
    if (a.row < 0 && b.row < 0) return loop(a.data, a.stride, b.data, b.stride, y, n);
    const auto at = [&](const Place& x, int64_t done) {
      return x.row < 0 ? x.data + done * x.stride : x.data + rows.first * x.row + rows.column * x.stride;
    };
    for (int64_t done = 0; done < n;) {
      const int64_t count = std::min(n - done, row_ - rows.column);
      loop(at(a, done), a.stride, at(b, done), b.stride, y + done, count);
      done += count;
      rows = {rows.first + 1, 0};
    }
  }

  Place load(std::span<void* const> inputs, int input, T* registers, int64_t at, int64_t n) const {
    const Value& value = values_[static_cast<size_t>(input)];
    T* x = static_cast<T*>(inputs[static_cast<size_t>(input)]);
    if (!value.spread) return {x + at, 1, -1};
    if (value.by_rows) return {x, value.stride, value.rows.stride[0][0]};
    if (value.rows.rank == 0 && value.stride == 0 && !value.filled) return {x, 0, -1};
    const int64_t row = at / value.length, from = at % value.length;
    if (from + n <= value.length && (value.stride == 1 || (value.stride == 0 && !value.filled)))
      return {x + value.rows.offset(row, 0) + from * value.stride, value.stride, -1};
    T* y = registers + value.place * short_;
    for (int64_t done = 0; done < n;) {
      const int64_t column = (at + done) % value.length, count = std::min(n - done, value.length - column);
      spread(x + value.rows.offset((at + done) / value.length, 0) + column * value.stride, value.stride, y + done,
             count);
      done += count;
    }
    return {y, 1, -1};
  }

  static void spread(const T* x, int64_t stride, T* y, int64_t n) {
    if (stride == 1) return copy(x, y, n);
    if (stride == 0) {
      const T value = *x;
#pragma omp simd
      for (int64_t i = 0; i < n; ++i) y[i] = value;
      return;
    }
    for (int64_t i = 0; i < n; ++i) y[i] = x[i * stride];
  }

  static void copy(const T* from, T* to, int64_t n) {
    if (from != to) std::memcpy(to, from, static_cast<size_t>(n) * sizeof(T));
  }

  LoopTables tables_;
  Loops<T> loops_;
  size_t inputs_;
  int64_t longest_, short_;
  int64_t row_ = 0;                 // elements of a row of those by rows
  int64_t shorts_ = 0, longs_ = 0;  // registers of a part, and of a piece
  bool computes_ = false;           // sums alone read as fast as memory gives
  std::vector<Value> values_;
  std::vector<Code> codes_;
  std::vector<Draw> draws_;
};

}  // namespace synthesizer
