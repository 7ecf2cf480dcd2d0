// CUDA's atomic functions. One thread runs at a time, so they are plain; integers wrap as on the device.
#pragma once

#include <concepts>
#include <type_traits>

namespace cuda_shim {

template <typename T, typename Change>
inline T exchange_with(T* address, Change change) {
  const T old = *address;
  *address = change(old);
  return old;
}

template <typename T>
concept AtomicInteger = std::same_as<T, int> || std::same_as<T, unsigned> || std::same_as<T, unsigned long long>;
template <typename T>
concept AtomicNumber = AtomicInteger<T> || std::same_as<T, float> || std::same_as<T, double>;

}  // namespace cuda_shim

template <cuda_shim::AtomicNumber T>
inline T atomicAdd(T* address, std::type_identity_t<T> value) {
  return cuda_shim::exchange_with(address, [value](T old) -> T {
    if constexpr (std::is_integral_v<T>)
      return static_cast<T>(static_cast<std::make_unsigned_t<T>>(old) + static_cast<std::make_unsigned_t<T>>(value));
    else
      return old + value;
  });
}
template <cuda_shim::AtomicInteger T>
inline T atomicSub(T* address, std::type_identity_t<T> value) {
  return cuda_shim::exchange_with(address, [value](T old) {
    return static_cast<T>(static_cast<std::make_unsigned_t<T>>(old) - static_cast<std::make_unsigned_t<T>>(value));
  });
}
template <cuda_shim::AtomicInteger T>
inline T atomicMax(T* address, std::type_identity_t<T> value) {
  return cuda_shim::exchange_with(address, [value](T old) { return old < value ? value : old; });
}
template <cuda_shim::AtomicInteger T>
inline T atomicMin(T* address, std::type_identity_t<T> value) {
  return cuda_shim::exchange_with(address, [value](T old) { return value < old ? value : old; });
}
template <cuda_shim::AtomicInteger T>
inline T atomicAnd(T* address, std::type_identity_t<T> value) {
  return cuda_shim::exchange_with(address, [value](T old) { return old & value; });
}
template <cuda_shim::AtomicInteger T>
inline T atomicOr(T* address, std::type_identity_t<T> value) {
  return cuda_shim::exchange_with(address, [value](T old) { return old | value; });
}
template <typename T>
requires cuda_shim::AtomicInteger<T> || std::same_as<T, float>
inline T atomicExch(T* address, std::type_identity_t<T> value) {
  return cuda_shim::exchange_with(address, [value](T) { return value; });
}
template <typename T>
requires cuda_shim::AtomicInteger<T> || std::same_as<T, unsigned short>
inline T atomicCAS(T* address, std::type_identity_t<T> expected, std::type_identity_t<T> value) {
  return cuda_shim::exchange_with(address, [=](T old) { return old == expected ? value : old; });
}
