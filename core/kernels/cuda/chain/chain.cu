// Chains: the program of steps goes to an interpreter in the order that the chain's sums ask for; sums in groups are
// combined behind it, as those of a Reduce.
#include <algorithm>
#include <cstring>

#include "core/kernels/cuda/chain/chain_work.h"
#include "core/kernels/cuda/device/combine.h"

namespace synthesizer::cuda {
namespace {

__global__ void keep_program_kernel(const __grid_constant__ ChainArgument part, uint4* to, int words) {
  for (int i = static_cast<int>(threadIdx.x); i < words; i += static_cast<int>(blockDim.x)) to[i] = part.words[i];
}

// In the workspace lie the program, if it is too large for an argument; then the parts of each sum.
int64_t lay_out(ChainWork& work) {
  const int64_t bytes = work.program.bytes();
  return work.place_sums(bytes > ChainArgument::kBytes ? align_up(bytes) : 0);
}

int64_t chain_workspace(const KernelCase& c) {
  ChainWork work(c);
  return lay_out(work);
}

template <typename T>
class ChainKernel : public Kernel {
 public:
  using C = Compute<T>;

  explicit ChainKernel(const KernelCase& c) : stream_(c.context.stream), work_(c) {
    lay_out(work_);
    with_order<T>(work_.kind, [&]<typename Order>() {
      kernel_ = chain_kernel<T, Order>;
      block_ = chain_block<T, Order>(work_.program);
    });
    blocks_ = blocks_for(work_.warps(kChainWidth<T>) * kWarp, block_.threads);
  }

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void* workspace) override {
    work_.program.set_memory(inputs, outputs, work_.first_places(workspace));
    launch_chain(workspace);
    for (size_t i = 0; i < work_.spaces.size(); ++i) {
      const ChainSum& sum = work_.program.sums()[i];
      double* const partial = ChainWork::address(workspace, work_.spaces[i].partial_at);
      C* const y = output<C>(outputs, sum.output);
      if (const double* tiles = ChainWork::address(workspace, work_.spaces[i].tiles_at))
        launch(stream_, {"join_tiles_kernel", blocks_for(sum.plan.groups * sum.plan.outputs)}, join_tiles_kernel<C>,
               tiles, partial, y, sum.plan);
      if (partial != nullptr) combine<AddUp>(stream_, partial, y, sum.plan.groups, sum.plan.outputs);
    }
  }

 private:
  void launch_chain(void* workspace) const {
    constexpr int64_t kWord = sizeof(uint4);
    const ChainProgram& program = work_.program;
    const int64_t bytes = program.bytes();
    uint4* const kept = bytes > ChainArgument::kBytes ? static_cast<uint4*>(workspace) : nullptr;
    ChainArgument argument;
    for (int64_t from = 0; kept != nullptr && from < bytes; from += ChainArgument::kBytes) {
      const int64_t n = std::min(ChainArgument::kBytes, bytes - from);
      std::memcpy(argument.words, program.data() + from, static_cast<size_t>(n));
      launch(stream_, {"keep_program_kernel", 1}, keep_program_kernel, argument, kept + from / kWord,
             static_cast<int>(n / kWord));
    }
    if (kept == nullptr) std::memcpy(argument.words, program.data(), static_cast<size_t>(bytes));
    launch(stream_, {"chain_kernel", blocks_, block_.threads, block_.shared_bytes}, kernel_, argument, kept,
           static_cast<int>(bytes / kWord), work_.plan);
  }

  cudaStream_t stream_;
  ChainWork work_;
  ChainBlock block_;
  int64_t blocks_ = 0;
  void (*kernel_)(const ChainArgument, const uint4*, int, ReducePlan) = nullptr;
};

static_assert(sizeof(ChainArgument) + sizeof(ReducePlan) + 16 <= 4096, "arguments of a kernel");

std::unique_ptr<Kernel> make_chain(const KernelCase& c) {
  return make_stored<ChainKernel>(c, c.as<Chain>().dtype(c.inputs));
}

}  // namespace

std::span<const KernelEntry> chain_kernels() {
  static const KernelEntry kEntries[] = {{&typeid(Chain), make_chain, chain_workspace}};
  return kEntries;
}

}  // namespace synthesizer::cuda
