#include "core/graph/timeline.h"

#include <gtest/gtest.h>

#include <latch>

#include "core/base/error.h"
#include "core/graph/leaf.h"
#include "core/graph/program.h"
#include "core/ops/collectives.h"
#include "core/ops/elementwise.h"

namespace synthesizer {
namespace {

constexpr DType kF32 = DType::kFloat32;
using Kind = TimelineSlot::Kind;

// Kernels that compute nothing: exp and all_reduce begin, meet, and only then end, so that they run at the same time.
class MeetingKernels : public KernelTable {
 public:
  int64_t workspace(const Op&, std::span<const ValueType>, std::span<const ValueType>) const override { return 0; }
  std::unique_ptr<Kernel> make(const Op& op, std::span<const ValueType>, std::span<const ValueType>,
                               const AxisCommunicators&) const override {
    return std::make_unique<Meeting>(op.name() == "exp" || op.collective() ? this : nullptr);
  }
  void next_run() { meeting_ = std::make_unique<std::latch>(2); }

 private:
  class Meeting : public Kernel {
   public:
    explicit Meeting(const MeetingKernels* table) : table_(table) {}
    void run(std::span<void* const>, std::span<void* const>, void*) override {
      if (table_ != nullptr) table_->meeting_->arrive_and_wait();
    }

   private:
    const MeetingKernels* table_;
  };
  std::unique_ptr<std::latch> meeting_;
};

// relu → all_reduce, while exp is computed; then their sum.
struct Overlapping {
  Overlapping() {
    const Value x = input(graph, "x", kF32, {kModel(4)});
    const Value first = relu(x), second = exp(x);
    const Value reduced =
        graph.add_one(std::make_shared<AllReduce>("data", Reduction::kSum), std::vector<Value>{first}, "reduced");
    graph.mark_output("sum", second + reduced);
    store.emplace(graph);
    program.emplace(graph, kernels, AxisCommunicators{}, *store);
  }
  void run() {
    kernels.next_run();
    program->run();
  }
  size_t slot(Kind kind, std::string_view op) const {
    for (size_t s = 0; s < program->slots().size(); ++s) {
      const TimelineSlot& slot = program->slots()[s];
      if (slot.kind == kind && (slot.node == nullptr ? op.empty() : slot.node->op->name() == op)) return s;
    }
    fail("no slot for {}", op);
  }

  Graph graph;
  MeetingKernels kernels;
  std::optional<StateStore> store;
  std::optional<Program> program;
};

TEST(Timeline, HasASlotForEachNodeCollectiveAndWait) {
  const Overlapping step;
  EXPECT_EQ(step.program->slots().size(), 6u);
  EXPECT_LT(step.slot(Kind::kCompute, "relu"), step.slot(Kind::kCommunication, "all_reduce"));
  EXPECT_LT(step.slot(Kind::kCommunication, "all_reduce"), step.slot(Kind::kCompute, "exp"));
  EXPECT_LT(step.slot(Kind::kCompute, "exp"), step.slot(Kind::kWait, "all_reduce"));
  EXPECT_LT(step.slot(Kind::kWait, "all_reduce"), step.slot(Kind::kCompute, "add"));
  EXPECT_EQ(step.slot(Kind::kWait, ""), 5u);
}

TEST(Timeline, RecordsEveryRunWhileItIsAttached) {
  Overlapping step;
  Timeline timeline(step.program->slots(), 2);
  step.run();
  EXPECT_EQ(timeline.runs(), 0u);
  step.program->record(&timeline);
  const int64_t begin = steady_nanoseconds();
  for (int run = 0; run < 3; ++run) step.run();  // one more than there was room for
  const int64_t end = steady_nanoseconds();
  step.program->record(nullptr);
  step.run();
  ASSERT_EQ(timeline.runs(), 3u);

  int64_t before = begin;
  for (size_t r = 0; r < timeline.runs(); ++r) {
    const std::span<const TimeSpan> run = timeline.run(r);
    const auto span = [&](Kind kind, std::string_view op) { return run[step.slot(kind, op)]; };
    // One after the other on the program's own thread…
    for (size_t s = 0; s < run.size(); ++s) {
      EXPECT_LE(run[s].begin, run[s].end);
      if (timeline.slots()[s].kind == Kind::kCommunication) continue;
      EXPECT_LE(before, run[s].begin) << "run " << r << ", slot " << s;
      before = run[s].end;
    }
    // …and the collective beside it: after its input, while exp runs, waited for to its end.
    const TimeSpan reduced = span(Kind::kCommunication, "all_reduce"), exp = span(Kind::kCompute, "exp");
    EXPECT_LE(span(Kind::kCompute, "relu").end, reduced.begin);
    EXPECT_LT(reduced.begin, exp.end);
    EXPECT_LT(exp.begin, reduced.end);
    EXPECT_LE(reduced.end, span(Kind::kWait, "all_reduce").end);
  }
  EXPECT_LE(before, end);
}

// A step that is run again to find what is not finite is no part of the profile.
TEST(Timeline, VisitedRunsAreNotRecorded) {
  Overlapping step;
  Timeline timeline(step.program->slots(), 1);
  step.program->record(&timeline);
  step.run();
  const std::vector<TimeSpan> before(timeline.run(0).begin(), timeline.run(0).end());
  // Node after node: the collective would wait for exp for ever.
  class Reached {};
  step.kernels.next_run();
  EXPECT_THROW(step.program->run_visited([](const Node& node, std::span<void* const>) {
    if (node.op->name() == "relu") throw Reached();
  }),
               Reached);
  ASSERT_EQ(timeline.runs(), 1u);
  for (size_t s = 0; s < before.size(); ++s) EXPECT_EQ(timeline.run(0)[s].end, before[s].end);
}

TEST(Timeline, IsOfTheProgramThatFillsIt) {
  Overlapping step;
  Timeline other({{Kind::kCompute, nullptr}}, 1);
  EXPECT_THROW(step.program->record(&other), Error);
  EXPECT_THROW(Timeline({}, 1), Error);
}

}  // namespace
}  // namespace synthesizer
