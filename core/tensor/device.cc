#include "core/tensor/device.h"

#include <cstring>

namespace synthesizer {

void upload(Device* device, void* to, const void* from, int64_t bytes) {
  if (device != nullptr)
    device->upload(to, from, bytes);
  else
    std::memcpy(to, from, static_cast<size_t>(bytes));
}

void download(Device* device, void* to, const void* from, int64_t bytes) {
  if (device != nullptr)
    device->download(to, from, bytes);
  else
    std::memcpy(to, from, static_cast<size_t>(bytes));
}

}  // namespace synthesizer
