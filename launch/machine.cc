#include "launch/machine.h"

#include <time.h>

#include <algorithm>
#include <cstring>

#include "core/kernels/gemm.h"
#include "core/ops/elementwise.h"
#include "core/tensor/storage.h"

namespace synthesizer {
namespace {

constexpr int64_t kPeakSize = 1024;
constexpr int kPeakRuns = 6;
constexpr int64_t kMemoryElements = int64_t{16} << 20;  // 64 MiB an array

}  // namespace

double thread_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

double product_peak(DType dtype, int threads) {
  Product product;
  product.dtype = dtype;
  product.m = product.n = product.k = kPeakSize;
  product.a = product.b = product.c = {{0, 0}, kPeakSize, 1};
  const std::unique_ptr<Gemm> gemm = make_gemm(product, {threads}, nullptr);
  const int64_t bytes = kPeakSize * kPeakSize * size_of(dtype);
  Storage a(bytes), b(bytes), c(bytes), workspace(std::max<int64_t>(gemm_workspace(product, {threads}), 1));
  double fastest = 0;
  for (int run = 0; run < kPeakRuns; ++run) {
    const double start = thread_seconds();
    gemm->run(a.data(), b.data(), c.data(), workspace.data());
    fastest = std::max(fastest, static_cast<double>(product.flops()) / (thread_seconds() - start));
  }
  return fastest;
}

double memory_peak(const KernelTable& kernels) {
  const Binary add(BinaryFunction::kAdd);
  const ValueType type{DType::kFloat32, Shape{{"elements", kMemoryElements}}};
  const std::vector<ValueType> inputs = {type, type}, outputs = {type};
  const std::unique_ptr<Kernel> kernel = kernels.make(add, inputs, outputs, {});
  Storage a(type.bytes()), b(type.bytes()), sum(type.bytes());
  for (Storage* array : {&a, &b, &sum}) std::memset(array->data(), 0, static_cast<size_t>(type.bytes()));
  const std::vector<void*> from = {a.data(), b.data()}, to = {sum.data()};
  double fastest = 0;
  for (int run = 0; run < kPeakRuns; ++run) {
    const double start = thread_seconds();
    kernel->run(from, to, nullptr);
    fastest = std::max(fastest, static_cast<double>(3 * type.bytes()) / (thread_seconds() - start));
  }
  return fastest;
}

}  // namespace synthesizer
