// Functions of one element, broadcast by name.
#include "core/kernels/cuda/device/device_code.h"
#include "core/kernels/cuda/device/walk.h"
#include "core/kernels/cuda/kernel_case.h"
#include "core/kernels/cuda/runtime/launch.h"
#include "core/ops/cast.h"
#include "core/ops/elementwise.h"
#include "core/ops/functors.h"

namespace synthesizer::cuda {
namespace {

// y = f(of each input's element), by packs of 16 bytes of the widest type and the rest one by one.
template <int kPacked, typename Y, typename X, typename F>
__device__ void map_packs(const X* a, const X* b, Y* y, int64_t n, F f) {
  const int64_t packs = n / kPacked;
  for (int64_t p = thread_of_grid(); p < packs; p += threads_of_grid()) {
    const auto x0 = reinterpret_cast<const Pack<X, kPacked>*>(a)[p];
    const auto x1 = reinterpret_cast<const Pack<X, kPacked>*>(b)[p];
    Pack<Y, kPacked> made;
    for (int i = 0; i < kPacked; ++i) made.at[i] = f(x0.at[i], x1.at[i]);
    reinterpret_cast<Pack<Y, kPacked>*>(y)[p] = made;
  }
  for (int64_t i = packs * kPacked + thread_of_grid(); i < n; i += threads_of_grid()) y[i] = f(a[i], b[i]);
}

template <typename F, typename T>
__global__ void unary_kernel(const T* x, T* y, int64_t n, Compute<T> scale, Compute<T> shift) {
  map_packs<kPack<T>>(
      x, x, y, n, [=](T value, T) { return rounded<T>(F::template value<Compute<T>>(widened(value), scale, shift)); });
}

template <typename F, typename T>
__global__ void unary_gradient_kernel(const T* saved, const T* dy, T* dx, int64_t n) {
  map_packs<kPack<T>>(saved, dy, dx, n,
                      [](T s, T d) { return rounded<T>(widened(d) * F::template derivative<Compute<T>>(widened(s))); });
}

// Of two tensors that lie as the result does.
template <typename F, typename T>
__global__ void binary_kernel(const T* a, const T* b, T* y, int64_t n) {
  map_packs<kPack<T>>(a, b, y, n,
                      [](T x0, T x1) { return rounded<T>(F::template value<Compute<T>>(widened(x0), widened(x1))); });
}

template <typename F, typename T>
__global__ void broadcast_binary_kernel(const T* a, const T* b, T* y, int64_t n, DeviceWalk<2> walk) {
  for (int64_t i = thread_of_grid(); i < n; i += threads_of_grid()) {
    int64_t at[2];
    walk.offsets(i, at);
    y[i] = rounded<T>(F::template value<Compute<T>>(widened(a[at[0]]), widened(b[at[1]])));
  }
}

template <typename From, typename To>
__global__ void cast_kernel(const From* x, To* y, int64_t n) {
  constexpr int kPacked = 16 / static_cast<int>(sizeof(From) > sizeof(To) ? sizeof(From) : sizeof(To));
  map_packs<kPacked>(x, x, y, n, [](From value, From) { return rounded<To>(widened(value)); });
}

template <typename T>
class UnaryKernel : public Kernel {
 public:
  explicit UnaryKernel(const KernelCase& c)
      : stream_(c.context.stream),
        count_(c.out(0).elements()),
        scale_(static_cast<Compute<T>>(c.as<Unary>().scale())),
        shift_(static_cast<Compute<T>>(c.as<Unary>().shift())) {
    int at = 0;
    functors::each_unary<Math>([&]<typename F>() {
      if (at++ == static_cast<int>(c.as<Unary>().function())) kernel_ = unary_kernel<F, T>;
    });
  }

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void*) override {
    launch(stream_, {"unary_kernel", blocks_for(count_ / kPack<T>)}, kernel_, input<T>(inputs, 0),
           output<T>(outputs, 0), count_, scale_, shift_);
  }

 private:
  cudaStream_t stream_;
  int64_t count_;
  Compute<T> scale_, shift_;
  void (*kernel_)(const T*, T*, int64_t, Compute<T>, Compute<T>) = nullptr;
};

template <typename T>
class UnaryGradientKernel : public Kernel {
 public:
  explicit UnaryGradientKernel(const KernelCase& c) : stream_(c.context.stream), count_(c.out(0).elements()) {
    int at = 0;
    functors::each_unary<Math>([&]<typename F>() {
      if (at++ == static_cast<int>(c.as<UnaryGradient>().function())) kernel_ = unary_gradient_kernel<F, T>;
    });
  }

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void*) override {
    launch(stream_, {"unary_gradient_kernel", blocks_for(count_ / kPack<T>)}, kernel_, input<T>(inputs, 0),
           input<T>(inputs, 1), output<T>(outputs, 0), count_);
  }

 private:
  cudaStream_t stream_;
  int64_t count_;
  void (*kernel_)(const T*, const T*, T*, int64_t) = nullptr;
};

template <typename T>
class BinaryKernel : public Kernel {
 public:
  explicit BinaryKernel(const KernelCase& c)
      : stream_(c.context.stream), count_(c.out(0).elements()), alike_(c.in(0) == c.out(0) && c.in(1) == c.out(0)) {
    const Shape* shapes[2] = {&c.in(0), &c.in(1)};
    Walk walk(c.out(0).dims(), shapes);
    walk.merge();
    walk_ = DeviceWalk<2>(walk);
    int at = 0;
    functors::each_binary<Math>([&]<typename F>() {
      if (at++ != static_cast<int>(c.as<Binary>().function())) return;
      kernel_ = binary_kernel<F, T>;
      broadcast_ = broadcast_binary_kernel<F, T>;
    });
  }

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void*) override {
    const T *a = input<T>(inputs, 0), *b = input<T>(inputs, 1);
    if (alike_)
      launch(stream_, {"binary_kernel", blocks_for(count_ / kPack<T>)}, kernel_, a, b, output<T>(outputs, 0), count_);
    else
      launch(stream_, {"broadcast_binary_kernel", blocks_for(count_)}, broadcast_, a, b, output<T>(outputs, 0), count_,
             walk_);
  }

 private:
  cudaStream_t stream_;
  int64_t count_;
  bool alike_;
  DeviceWalk<2> walk_;
  void (*kernel_)(const T*, const T*, T*, int64_t) = nullptr;
  void (*broadcast_)(const T*, const T*, T*, int64_t, DeviceWalk<2>) = nullptr;
};

template <typename From, typename To>
class CastKernel : public Kernel {
 public:
  explicit CastKernel(const KernelCase& c) : stream_(c.context.stream), count_(c.out(0).elements()) {}

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void*) override {
    launch(stream_, {"cast_kernel", blocks_for(count_ / 4)}, cast_kernel<From, To>, input<From>(inputs, 0),
           output<To>(outputs, 0), count_);
  }

 private:
  cudaStream_t stream_;
  int64_t count_;
};

}  // namespace

std::span<const KernelEntry> elementwise_kernels() {
  static const KernelEntry kEntries[] = {{&typeid(Unary), make_by_output<UnaryKernel>, nullptr},
                                         {&typeid(UnaryGradient), make_by_output<UnaryGradientKernel>, nullptr},
                                         {&typeid(Binary), make_by_output<BinaryKernel>, nullptr},
                                         {&typeid(Cast), make_conversion<CastKernel>, nullptr}};
  return kEntries;
}

}  // namespace synthesizer::cuda
