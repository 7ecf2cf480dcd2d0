// Device files: protobuf text with every figure of configs/schema/device.proto. Those of configs/devices are inside the
// program, by name.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "configs/schema/device.pb.h"
#include "configs/schema/run.pb.h"
#include "dist/device_rates.h"

namespace synthesizer {

struct KnownDevice {
  std::string_view name, text;
};
std::span<const KnownDevice> known_devices();

// `name`: of a known device, or a file. UsageError for a name that is neither, with the nearest; for text that is no
// device file; for a figure that is missing or out of its range, by its path.
config::Device load_device(const std::string& name);

// `name` is the file's, for messages.
config::Device parse_device(std::string_view text, const std::string& name);

// The figures for a run of this precision. UsageError if the device has none for its products.
DeviceRates device_for(const config::Device& device, config::Run::Precision precision);

// As a file, which parse_device reads back to the same. `comment`: the lines at the top.
std::string device_text(const config::Device& device, std::string_view comment);

}  // namespace synthesizer
