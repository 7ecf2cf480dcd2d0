#include "launch/rank_kernels.h"

#include "dist/parallel.h"
#include "launch/machine.h"

namespace synthesizer {
namespace {

bool ordered(const config::Run& run) { return run.parallel().reduction() == config::Parallel::ORDERED; }

}  // namespace

RankKernels::RankKernels(int threads, bool same_bits)
    : threads_(threads), cpu_(std::make_unique<CpuKernelTable>(threads, nullptr, best_isa(), same_bits)) {}

RankKernels::RankKernels(int threads, bool same_bits, const GpuOptions& gpu)
    : threads_(threads), ordered_(same_bits), gpu_(open_gpu(gpu)) {}

RankKernels::RankKernels(const config::Run& run, int threads, int local_rank)
    : RankKernels(run.device() == config::Run::CUDA
                      ? RankKernels(threads, ordered(run), GpuOptions{local_rank, run.tf32()})
                      : RankKernels(threads, ordered(run))) {}

AxisCommunicators RankKernels::communicators(const Mesh& mesh) const {
  return gpu_ ? gpu_->communicators(mesh, ordered_) : axis_communicators(mesh);
}

double RankKernels::product_peak(DType dtype) const {
  return gpu_ ? synthesizer::product_peak(dtype, gpu_->kernels()) : synthesizer::product_peak(dtype, threads_);
}

std::unique_ptr<KernelTable> planned_kernels(const config::Run& run, int threads) {
  if (run.device() == config::Run::CUDA) return planned_gpu_kernels();
  return std::make_unique<CpuKernelTable>(threads, nullptr, best_isa(), ordered(run));
}

}  // namespace synthesizer
