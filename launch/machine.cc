#include "launch/machine.h"

#include <time.h>

#include <algorithm>
#include <chrono>
#include <functional>

#include "core/kernels/gemm.h"
#include "core/ops/einsum.h"
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

namespace {

// Of one run; on a device of the time until it is done.
double seconds_of(const KernelTable& kernels, const std::function<void()>& run) {
  using Clock = std::chrono::steady_clock;
  Device* const device = kernels.device();
  if (device != nullptr) device->finish();
  const double start = thread_seconds();
  const Clock::time_point began = Clock::now();
  run();
  if (device == nullptr) return thread_seconds() - start;
  device->finish();
  return std::chrono::duration<double>(Clock::now() - began).count();
}

}  // namespace

double product_peak(DType dtype, const KernelTable& kernels) {
  constexpr int64_t kSize = 8192;
  const Einsum product({"rows", "columns"});
  const ValueType a{dtype, Shape{{"rows", kSize}, {"inner", kSize}}},
      b{dtype, Shape{{"inner", kSize}, {"columns", kSize}}};
  const std::vector<ValueType> inputs = {a, b}, outputs = product.infer(inputs);
  const std::unique_ptr<Kernel> kernel = kernels.make(product, inputs, outputs, {});
  Device* const device = kernels.device();
  const Storage x(a.bytes(), device), y(b.bytes(), device), z(outputs[0].bytes(), device);
  const Storage workspace(kernels.workspace(product, inputs, outputs), device);
  const std::vector<void*> from = {x.data(), y.data()}, to = {z.data()};
  const double flops = static_cast<double>(product.cost(inputs, outputs).flops);
  double fastest = 0;
  for (int run = 0; run < kPeakRuns; ++run)
    fastest = std::max(fastest, flops / seconds_of(kernels, [&] { kernel->run(from, to, workspace.data()); }));
  return fastest;
}

double memory_peak(const KernelTable& kernels) {
  const Binary add(BinaryFunction::kAdd);
  const ValueType type{DType::kFloat32, Shape{{"elements", kMemoryElements}}};
  const std::vector<ValueType> inputs = {type, type}, outputs = {type};
  const std::unique_ptr<Kernel> kernel = kernels.make(add, inputs, outputs, {});
  Device* const device = kernels.device();
  const Storage a(type.bytes(), device), b(type.bytes(), device), sum(type.bytes(), device);  // touched: zeroed
  const std::vector<void*> from = {a.data(), b.data()}, to = {sum.data()};
  double fastest = 0;
  for (int run = 0; run < kPeakRuns; ++run)
    fastest = std::max(
        fastest, static_cast<double>(3 * type.bytes()) / seconds_of(kernels, [&] { kernel->run(from, to, nullptr); }));
  return fastest;
}

HostLink host_link(Device& device) {
  constexpr int64_t kBytes = int64_t{64} << 20;
  const Storage memory(kBytes, &device), pinned = Storage::pinned(kBytes, device);
  const std::unique_ptr<Timer> timer = device.timer();
  const auto seconds_of = [&](const std::function<void()>& copy) {
    timer->begin();
    copy();
    timer->end();
    return timer->seconds();
  };
  HostLink link;
  for (int run = 0; run < kPeakRuns; ++run) {
    const double there = seconds_of([&] { device.upload_later(memory.data(), pinned.data(), kBytes); });
    const double back = seconds_of([&] { device.download(pinned.data(), memory.data(), kBytes); });
    link.to_device = std::max(link.to_device, static_cast<double>(kBytes) / there);
    link.to_host = std::max(link.to_host, static_cast<double>(kBytes) / back);
  }
  return link;
}

}  // namespace synthesizer
