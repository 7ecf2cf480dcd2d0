// A product by cuBLASLt: described once, its algorithm chosen when it is first run.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/kernels/cuda/cublaslt/description.h"
#include "core/kernels/cuda/cublaslt/products.h"

namespace synthesizer::cuda {

class LibraryGemm : public DeviceGemm {
 public:
  using Shared = CublasLtProducts::Shared;
  using Algorithms = std::vector<cublasLtMatmulAlgo_t>;

  LibraryGemm(std::shared_ptr<const Shared> shared, const Product& product);

  void run(cudaStream_t stream, const void* a, const void* b, const EpilogueData& data, void* c,
           void* workspace) const override;

  // Whether the library has algorithms for it, of operands that are aligned as buffers are, and as each of its calls
  // has them then.
  bool has_algorithms() const;
  // Runs it once by each algorithm that the library has for aligned operands, between before() and after(); of one that
  // fails there is no after(). How many did it.
  int try_all(cudaStream_t stream, const void* a, const void* b, const EpilogueData& data, void* c, void* workspace,
              const std::function<void()>& before, const std::function<void()>& after) const;

 private:
  struct Operands {
    const std::byte *a, *b;
    EpilogueData data;
    std::byte* c;
    void* workspace;
  };
  static constexpr uint32_t kWhole = 16;  // bytes: what all buffers are aligned to that begin a tensor

  uint32_t alignment_of(const Operands& at) const;
  cublasStatus_t try_to_multiply(cudaStream_t stream, const Operands& at, void* c,
                                 const cublasLtMatmulAlgo_t& algorithm) const;
  cublasLtMatmulAlgo_t choose(cudaStream_t stream, const Operands& at, uint32_t alignment) const;
  std::optional<cublasLtMatmulAlgo_t> kept(const std::string& key) const;
  Algorithms proposals(uint32_t alignment, cublasStatus_t& status) const;
  cublasLtMatmulAlgo_t measure(cudaStream_t stream, const Operands& at, const Algorithms& proposed) const;
  std::optional<float> milliseconds(cudaStream_t stream, const Operands& at, void* c,
                                    const cublasLtMatmulAlgo_t& algorithm) const;
  int64_t result_bytes() const;
  std::string text() const;

  std::shared_ptr<const Shared> shared_;
  Product of_;
  Description description_;
  int64_t size_, result_size_;
  mutable std::array<std::optional<cublasLtMatmulAlgo_t>, 2> algorithms_;  // of aligned operands, of others
};

}  // namespace synthesizer::cuda
