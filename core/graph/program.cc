#include "core/graph/program.h"

#include <algorithm>
#include <functional>
#include <set>

#include "core/base/error.h"
#include "core/graph/communication_lane.h"
#include "core/graph/staging.h"

namespace synthesizer {

struct Program::Step {
  const Node* node = nullptr;
  std::unique_ptr<Kernel> kernel;
  std::vector<void*> inputs, outputs;
  void* workspace = nullptr;
  int job = -1;                  // on the communication lane, else run here
  std::vector<size_t> wait_for;  // jobs that must have ended before this step
  std::vector<size_t> wait_slots;
  size_t slot = 0;  // of the kernel
};

Program::Program(Graph& graph, const KernelTable& kernels, const AxisCommunicators& communicators, StateStore& store,
                 Storage* arena)
    : graph_(graph),
      store_(store),
      schedule_(schedule(graph)),
      memory_(plan_memory(graph, schedule_, kernels)),
      own_arena_(arena == nullptr ? memory_.arena_bytes : 0, kernels.device()),
      arena_(arena == nullptr ? &own_arena_ : arena),
      device_(kernels.device()) {
  CHECK(arena_->device() == device_ && store_.device() == device_, "kernels and memory of two devices");
  CHECK(arena_->bytes() >= memory_.arena_bytes, "an arena of {} bytes for a program of {}", arena_->bytes(),
        memory_.arena_bytes);
  for (const Node& node : graph_.nodes())
    if (const auto* leaf = dynamic_cast<const Leaf*>(node.op.get()); leaf != nullptr && !leaf->persistent())
      inputs_[node.name] = {node.id, 0};
  for (const auto& [name, ref] : graph_.outputs()) outputs_[name] = ref;
  check_derived();
  prepare(kernels, communicators);
  if (device_ != nullptr) make_staging();
}

Program::~Program() = default;

int64_t Program::arena_needed(const Graph& graph, const KernelTable& kernels) {
  return plan_memory(graph, schedule(graph), kernels).arena_bytes;
}

std::byte* Program::address(ValueRef ref) const {
  if (const auto it = memory_.persistent.find(ref); it != memory_.persistent.end()) {
    const StateTensor& tensor = store_.at(it->second);
    CHECK(tensor.type.bytes() == graph_.type(ref).bytes(), "{} is {} in the store and {} in the graph", tensor.name,
          tensor.type.shape.to_string(), graph_.type(ref).shape.to_string());
    return store_.address(tensor);
  }
  return arena_->data() + memory_.offsets.at(ref);
}

void Program::make_staging() {
  std::map<ValueRef, Staging::Place> in, out;
  for (const auto& [name, ref] : inputs_) in[ref] = {address(ref), graph_.type(ref).bytes()};
  for (const auto& [name, ref] : outputs_) out[ref] = {address(ref), graph_.type(ref).bytes()};
  staging_ = std::make_unique<Staging>(*device_, in, out);
  replay_ = device_->replay();
}

std::byte* Program::input_memory(ValueRef ref) { return staging_ ? staging_->input(ref) : address(ref); }

const std::byte* Program::output_memory(ValueRef ref) { return staging_ ? staging_->output(ref) : address(ref); }

void Program::check_derived() const {
  std::set<std::string_view> updated;
  for (const Node& node : graph_.nodes())
    for (const Alias& alias : node.op->aliases())
      if (alias.kind == Alias::Kind::kUpdate)
        updated.insert(memory_.persistent.at(node.inputs[static_cast<size_t>(alias.input)]));
  for (const StateTensor& tensor : store_.derived())
    CHECK(updated.contains(tensor.source) == updated.contains(tensor.name),
          "a program updates one of {} and {}, which is made of it, and not the other", tensor.source, tensor.name);
}

void Program::prepare(const KernelTable& kernels, const AxisCommunicators& communicators) {
  std::vector<std::function<void()>> jobs;
  std::vector<const Node*> collectives;  // of each job
  std::vector<std::vector<size_t>> waits(schedule_.order.size() + 1);
  for (size_t p = 0; p < schedule_.order.size(); ++p) {
    const Node& node = graph_.node(schedule_.order[p]);
    Step step;
    step.node = &node;
    for (const size_t job : waits[p]) {
      step.wait_for.push_back(job);
      step.wait_slots.push_back(add_slot(TimelineSlot::Kind::kWait, collectives[job]));
    }
    if (!runs_nothing(node)) {
      std::vector<ValueType> types;
      for (const ValueRef& ref : node.inputs) {
        types.push_back(graph_.type(ref));
        step.inputs.push_back(address(ref));
      }
      for (size_t i = 0; i < node.outputs.size(); ++i) step.outputs.push_back(address({node.id, static_cast<int>(i)}));
      if (memory_.workspace_offsets[p] >= 0) step.workspace = arena_->data() + memory_.workspace_offsets[p];
      step.kernel = kernels.make(*node.op, types, node.outputs, communicators);
      const bool collective = node.op->collective();
      step.slot = add_slot(collective ? TimelineSlot::Kind::kCommunication : TimelineSlot::Kind::kCompute, &node);
      if (collective) {
        step.job = static_cast<int>(jobs.size());
        waits[static_cast<size_t>(schedule_.wait[p])].push_back(jobs.size());
        collectives.push_back(&node);
        jobs.push_back([this, &node, slot = step.slot, kernel = step.kernel.get(), inputs = step.inputs,
                        outputs = step.outputs, workspace = step.workspace] {
          if (device_ != nullptr) device_->name_work(node.name);
          timed(slot, [&] { kernel->run(inputs, outputs, workspace); });
          if (device_ != nullptr) device_->name_work({});
        });
      }
    }
    if (step.kernel || !step.wait_for.empty()) steps_.push_back(std::move(step));
  }
  if (jobs.empty()) return;
  last_wait_ = add_slot(TimelineSlot::Kind::kWait, nullptr);
  lane_ = device_ == nullptr ? std::make_unique<CommunicationLane>(std::move(jobs)) : device_->lane(std::move(jobs));
}

size_t Program::add_slot(TimelineSlot::Kind kind, const Node* node) {
  slots_.push_back({kind, node});
  return slots_.size() - 1;
}

void Program::record(Timeline* timeline) {
  CHECK(timeline == nullptr || timeline->slots().size() == slots_.size(), "a timeline of {} slots, expected {}",
        timeline->slots().size(), slots_.size());
  timeline_ = timeline;
}

template <typename Action>
void Program::timed(size_t slot, const Action& action) {
  if (spans_ == nullptr) return action();
  spans_[slot].begin = steady_nanoseconds();
  action();
  if (device_ != nullptr) device_->finish();
  spans_[slot].end = steady_nanoseconds();
}

void Program::run() {
  spans_ = timeline_ == nullptr ? nullptr : timeline_->begin_run();
  if (staging_) staging_->upload();
  if (replay_ && spans_ == nullptr)
    replay_->run([this] { run_steps(); });
  else
    run_steps();
}

void Program::run_steps() {
  for (const Step& step : steps_) {
    for (size_t i = 0; i < step.wait_for.size(); ++i) timed(step.wait_slots[i], [&] { lane_->wait(step.wait_for[i]); });
    if (!step.kernel) continue;
    if (step.job >= 0)
      lane_->submit(static_cast<size_t>(step.job));
    else
      timed(step.slot, [&] { step.kernel->run(step.inputs, step.outputs, step.workspace); });
  }
  if (lane_) timed(last_wait_, [&] { lane_->finish(); });
}

void Program::run_each(const Runner& run) {
  spans_ = nullptr;
  if (staging_) staging_->upload();
  run_each_step(run);
}

void Program::run_each_step(const Runner& run) {
  for (const Step& step : steps_) {
    if (!step.kernel) continue;
    run(*step.node, [&] {
      if (step.job < 0) return step.kernel->run(step.inputs, step.outputs, step.workspace);
      lane_->submit(static_cast<size_t>(step.job));
      lane_->finish();
    });
  }
}

void Program::run_visited(const Visitor& visit) {
  spans_ = nullptr;
  std::vector<std::vector<std::byte>> copies;  // of what lies on a device
  const auto visit_outputs = [&](const Node& node, std::span<void* const> outputs) {
    if (device_ == nullptr) return visit(node, outputs);
    copies.resize(std::max(copies.size(), outputs.size()));
    std::vector<void*> on_host;
    for (size_t i = 0; i < outputs.size(); ++i) {
      const int64_t bytes = node.outputs[i].bytes();
      copies[i].resize(static_cast<size_t>(bytes));
      device_->download(copies[i].data(), outputs[i], bytes);
      on_host.push_back(copies[i].data());
    }
    visit(node, on_host);
  };
  if (staging_) staging_->upload();
  for (const Node& node : graph_.nodes()) {
    const auto* leaf = dynamic_cast<const Leaf*>(node.op.get());
    if (leaf == nullptr || leaf->kind() == Leaf::Kind::kGathered) continue;
    void* const data = address({node.id, 0});
    visit_outputs(node, {&data, 1});
  }
  run_each_step([&](const Node& node, const std::function<void()>& once) {
    once();
    std::vector<void*> outputs;
    for (size_t i = 0; i < node.outputs.size(); ++i) outputs.push_back(address({node.id, static_cast<int>(i)}));
    visit_outputs(node, outputs);
  });
}

ValueRef Program::input_ref(std::string_view name) const {
  const auto it = inputs_.find(name);
  CHECK(it != inputs_.end(), "the program has no input {}", name);
  return it->second;
}

ValueRef Program::output_ref(std::string_view name) const {
  const auto it = outputs_.find(name);
  CHECK(it != outputs_.end(), "the program has no output {}", name);
  return it->second;
}

void Program::check_type(DType is, DType wanted) {
  CHECK(is == wanted, "a {} tensor was asked for as {}", to_string(is), to_string(wanted));
}

}  // namespace synthesizer
