// The arena is the only memory a step uses: an interposed allocator sees what the program asks the system for.
#include <dlfcn.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string>
#include <utility>

#include "core/kernels/cpu/cpu_kernels.h"
#include "core/train/train_step.h"
#include "dist/parallel.h"
#include "dist/plan.h"
#include "dist/thread_communicator.h"

extern "C" void* __libc_malloc(size_t);
extern "C" void* __libc_calloc(size_t, size_t);
extern "C" void* __libc_realloc(void*, size_t);
extern "C" void* __libc_memalign(size_t, size_t);
extern "C" void __libc_free(void*);

namespace {

// What is recorded while `armed`: size and caller of each allocation. No allocation of its own.
struct Record {
  size_t bytes;
  void* caller;
};
constexpr size_t kMost = 1 << 16;
Record g_records[kMost];
std::atomic<size_t> g_count{0};
std::atomic<bool> g_armed{false};

void record(size_t bytes, void* caller) {
  if (!g_armed.load(std::memory_order_relaxed)) return;
  const size_t index = g_count.fetch_add(1);
  if (index < kMost) g_records[index] = {bytes, caller};
}

}  // namespace

extern "C" {
void* malloc(size_t bytes) {
  record(bytes, __builtin_return_address(0));
  return __libc_malloc(bytes);
}
void* calloc(size_t count, size_t bytes) {
  record(count * bytes, __builtin_return_address(0));
  return __libc_calloc(count, bytes);
}
void* realloc(void* old, size_t bytes) {
  record(bytes, __builtin_return_address(0));
  return __libc_realloc(old, bytes);
}
void* aligned_alloc(size_t alignment, size_t bytes) {
  record(bytes, __builtin_return_address(0));
  return __libc_memalign(alignment, bytes);
}
}

void* operator new(size_t bytes) {
  record(bytes, __builtin_return_address(0));
  if (void* memory = __libc_malloc(bytes)) return memory;
  throw std::bad_alloc();
}
void* operator new[](size_t bytes) {
  record(bytes, __builtin_return_address(0));
  if (void* memory = __libc_malloc(bytes)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { __libc_free(memory); }
void operator delete[](void* memory) noexcept { __libc_free(memory); }
void operator delete(void* memory, size_t) noexcept { __libc_free(memory); }
void operator delete[](void* memory, size_t) noexcept { __libc_free(memory); }

namespace synthesizer {
namespace {

// Allocations recorded since arming that this program's own code made; what libraries take for themselves is theirs.
std::vector<Record> own_allocations() {
  g_armed = false;
  Dl_info self{};
  dladdr(reinterpret_cast<void*>(&own_allocations), &self);
  std::vector<Record> own;
  for (size_t i = 0; i < std::min(g_count.load(), kMost); ++i) {
    Dl_info info{};
    if (dladdr(g_records[i].caller, &info) == 0 || info.dli_fbase != self.dli_fbase) continue;
    own.push_back(g_records[i]);
    own.back().caller =
        reinterpret_cast<void*>(static_cast<char*>(g_records[i].caller) - static_cast<char*>(self.dli_fbase));
  }
  g_count = 0;
  return own;
}

// One "bytes at offset in the program" each, for addr2line.
std::string describe(const std::vector<Record>& records) {
  std::string text;
  for (const Record& r : records) text += fmt::format("{} bytes at {}\n", r.bytes, fmt::ptr(r.caller));
  return text;
}

StepGraphOptions options_of(const std::string& attention, OptimizerKind optimizer) {
  StepGraphOptions options;
  ModelConfig& model = options.model;
  model.vocab = 96;
  model.d_model = 32;
  model.d_ff = 64;
  model.num_heads = 4;
  model.d_head = 8;
  model.encoder_layers = model.decoder_layers = 2;
  model.encoder.kind = model.decoder.kind = attention;
  model.encoder.max_length = model.decoder.max_length = 24;
  model.dropout = 0.1;
  options.shape = {4, 20, 12};
  options.loss.z_loss = 1e-4;
  options.optimizer.kind = optimizer;
  options.optimizer.clip_norm = 1;
  options.input_mask = true;
  return options;
}

struct Rows {
  explicit Rows(int64_t rows)
      : inputs(static_cast<size_t>(rows * 20), 5),
        targets(static_cast<size_t>(rows * 12), 7),
        weights(static_cast<size_t>(rows * 12), 1.0f) {}
  Batch batch() const { return {inputs, targets, targets, weights, 48, {}}; }
  std::vector<int32_t> inputs, targets;
  std::vector<float> weights;
};

class Allocation : public ::testing::TestWithParam<const char*> {};

TEST_P(Allocation, AStepAllocatesNothingAndTheArenaIsAsPlanned) {
  for (const auto& [optimizer, micro_batches] :
       {std::pair{OptimizerKind::kAdamW, 1}, {OptimizerKind::kAdafactor, 1}, {OptimizerKind::kAdamW, 4}}) {
    const CpuKernelTable kernels(1);
    StepGraphOptions options = options_of(GetParam(), optimizer);
    options.accumulation.micro_batches.count = micro_batches;
    StepGraphs graphs = training_graphs(options, nullptr);
    const StepPlan plan = plan_step(graphs, kernels, {});
    g_armed = true;
    TrainStep step(std::move(graphs), options.optimizer, kernels, {});
    const std::vector<Record> building = own_allocations();
    int64_t arenas = 0, stores = 0;
    for (const Record& r : building) {
      arenas += r.bytes == static_cast<size_t>(plan.arena);
      stores += r.bytes == static_cast<size_t>(plan.state());
    }
    EXPECT_EQ(arenas, 1);
    EXPECT_EQ(stores, 1);

    step.state().initialize(1);
    const Rows rows(4);
    const Batch batch = rows.batch();
    step.run(batch, 0, 0.01);
    g_armed = true;
    step.run(batch, 1, 0.01);
    EXPECT_EQ(describe(own_allocations()), "");
  }
}

TEST_P(Allocation, NeitherDoesAStepOfTwoRanks) {
  run_ranks(2, [&](Communicator& world) {
    const CpuKernelTable kernels(1);
    const Mesh mesh({{{"data", 2}}}, world);
    const StepGraphOptions options = options_of(GetParam(), OptimizerKind::kAdafactor);
    TrainStep step(training_graph(options, partition_for(mesh, {{{"batch", "data"}}})), options.optimizer, kernels,
                   axis_communicators(mesh));
    step.state().initialize(1);
    const Rows rows(2);
    const Batch batch = rows.batch();
    step.run(batch, 0, 0.01);
    world.barrier();
    if (world.rank() == 0) g_armed = true;
    world.barrier();
    step.run(batch, 1, 0.01);
    world.barrier();
    if (world.rank() == 0) {
      EXPECT_EQ(describe(own_allocations()), "");
    }
    world.barrier();
  });
}

INSTANTIATE_TEST_SUITE_P(Attentions, Allocation, ::testing::Values("V", "R", "Fix", "D+R+V", "FR+FD"));

}  // namespace
}  // namespace synthesizer
