#include "tests/core/kernels/cuda/cpu_products.h"

#include "core/base/error.h"
#include "core/kernels/cuda/runtime/launch.h"
#include "core/tensor/storage.h"

namespace synthesizer::cuda {
namespace {

constexpr GemmThreads kOneThread{1, true};

class CpuGemm : public DeviceGemm {
 public:
  CpuGemm(const Product& product, KernelCounters* counters)
      : plain_(product.is_plain()),
        gemm_(make_gemm(product, kOneThread, counters)),
        workspace_(gemm_workspace(product, kOneThread)) {}

  void run(cudaStream_t stream, const void* a, const void* b, const EpilogueData& data, void* c, void*) const override {
    auto* call = new Call{this, a, b, data, c};
    calls_.emplace_back(call);
    check(cuda_shim::run_as_kernel(stream, &CpuGemm::multiply, call), "a product");
  }

 private:
  struct Call {
    const CpuGemm* gemm;
    const void *a, *b;
    EpilogueData data;
    void* c;
  };

  static void multiply(void* data) {
    const Call& call = *static_cast<const Call*>(data);
    void* const space = call.gemm->workspace_.data();
    if (call.gemm->plain_)
      call.gemm->gemm_->run(call.a, call.b, call.c, space);
    else
      call.gemm->gemm_->run_with(call.data, call.a, call.b, call.c, space);
  }

  bool plain_;
  std::unique_ptr<Gemm> gemm_;
  Storage workspace_;
  mutable std::vector<std::unique_ptr<Call>> calls_;  // a captured one is made again and again
};

}  // namespace

std::unique_ptr<DeviceGemm> CpuProducts::make(const Product& product) const {
  return std::make_unique<CpuGemm>(product, counters_);
}

}  // namespace synthesizer::cuda
