#include "launch/config/device.h"

#include <fmt/format.h>
#include <google/protobuf/text_format.h>

#include <cmath>
#include <filesystem>
#include <limits>
#include <set>
#include <vector>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/nearest.h"
#include "launch/config/fields.h"
#include "launch/config/text.h"

namespace synthesizer {
namespace {

constexpr double kNoLimit = std::numeric_limits<double>::infinity();

// What a figure may be; those that are not here: more than 0.
struct FigureRange {
  std::string_view name;
  double low, high;
};
constexpr FigureRange kRanges[] = {{"reserved_bytes", 0, 9e18}, {"op_seconds", 0, 1},  {"taken", 0, 1},
                                   {"latency", 0, 1},           {"half_rows", 0, 1e6}, {"half_columns", 0, 1e6},
                                   {"half_depth", 0, 1e6},      {"reached", 1e-6, 1},  {"times", 1e-3, 1e6}};

void check_figure(const std::string& file, const std::string& path, const std::string& name, double value) {
  for (const FigureRange& range : kRanges)
    if (range.name == name) {
      if (!(value >= range.low && value <= range.high))
        fail_usage("{}: {}: got {}, expected {} to {}", file, path, value, range.low, range.high);
      return;
    }
  if (!(value > 0 && value < kNoLimit)) fail_usage("{}: {}: got {}, expected more than 0", file, path, value);
}

void check_message(const std::string& file, const Message& message, const std::string& path);

// The figure, message or list of messages that `field` is in `message`.
void check_field(const std::string& file, const Message& message, const FieldDescriptor& field,
                 const std::string& path) {
  const auto& reflection = *message.GetReflection();
  if (field.is_repeated()) {
    for (int i = 0; i < reflection.FieldSize(message, &field); ++i)
      check_message(file, reflection.GetRepeatedMessage(message, &field, i), fmt::format("{}[{}]", path, i));
    return;
  }
  if (!reflection.HasField(message, &field))
    fail_usage(
        "{}: {} is missing, expected {}. A device file gives every figure; `synthesizer bench kernels --output "
        "FILE` measures them",
        file, path, expected_value(field));
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return check_message(file, reflection.GetMessage(message, &field), path);
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return check_figure(file, path, field.name(), reflection.GetDouble(message, &field));
    case FieldDescriptor::CPPTYPE_INT64:
      return check_figure(file, path, field.name(), static_cast<double>(reflection.GetInt64(message, &field)));
    case FieldDescriptor::CPPTYPE_INT32:
      return check_figure(file, path, field.name(), reflection.GetInt32(message, &field));
    default:
      return;  // names and enumerations
  }
}

void check_message(const std::string& file, const Message& message, const std::string& path) {
  const auto& descriptor = *message.GetDescriptor();
  for (int i = 0; i < descriptor.field_count(); ++i)
    check_field(file, message, *descriptor.field(i), join_path(path, descriptor.field(i)->name()));
}

void check_device(const std::string& file, const config::Device& device) {
  check_message(file, device, "");
  if (device.products().empty())
    fail_usage("{}: products is missing, expected one for each precision that the device has", file);
  std::set<int> precisions;
  for (const config::Products& products : device.products())
    if (!precisions.insert(products.precision()).second)
      fail_usage("{}: products: {} is there twice, expected each precision once", file,
                 config::Products::Precision_Name(products.precision()));
  if (device.reserved_bytes() >= device.memory_bytes())
    fail_usage("{}: reserved_bytes: got {}, expected less than memory_bytes {}", file, device.reserved_bytes(),
               device.memory_bytes());
}

LinkRate link(const config::Link& link) { return {link.latency(), link.bandwidth()}; }

}  // namespace

config::Device parse_device(std::string_view text, const std::string& name) {
  config::Device device;
  parse_text(text, name, "the device file", device);
  check_device(name, device);
  return device;
}

config::Device load_device(const std::string& name) {
  std::vector<std::string> names;
  for (const KnownDevice& known : known_devices()) {
    if (known.name == name) return parse_device(known.text, fmt::format("device {}", name));
    names.emplace_back(known.name);
  }
  if (!std::filesystem::exists(name))
    fail_usage("--device {}: no such device or file{}", name, nearest_hint(name, names));
  return parse_device(read_input_file(name), name);
}

DeviceRates device_for(const config::Device& from, config::Run::Precision precision) {
  const config::Products* products = nullptr;
  const std::string& wanted = config::Run::Precision_Name(precision);
  for (const config::Products& some : from.products())
    if (config::Products::Precision_Name(some.precision()) == wanted) products = &some;
  if (products == nullptr)
    fail_usage("[plan] device {} has no products of precision {}, which the run asks for", from.name(), wanted);
  DeviceRates device;
  device.name = from.name();
  device.memory_bytes = from.memory_bytes();
  device.reserved_bytes = from.reserved_bytes();
  device.memory_bandwidth = from.memory_bandwidth();
  device.vector_flops = from.vector_flops();
  device.op_seconds = from.op_seconds();
  device.products = {products->peak(), products->reached(), products->half_rows(), products->half_columns(),
                     products->half_depth()};
  device.ranks_per_host = from.ranks_per_host();
  device.inside = link(from.inside());
  device.between = link(from.between());
  device.steps = from.steps() == config::Device::DIRECT ? CollectiveSteps::kDirect : CollectiveSteps::kTree;
  device.taken = from.taken();
  for (const config::Slowdown& slowdown : from.slowdown()) device.slowdown[slowdown.op()] = slowdown.times();
  return device;
}

std::string device_text(const config::Device& device, std::string_view comment) {
  google::protobuf::TextFormat::Printer printer;
  printer.SetUseShortRepeatedPrimitives(true);
  std::string text;
  printer.PrintToString(device, &text);
  std::string lines;
  for (size_t begin = 0; begin < comment.size();) {
    const size_t end = std::min(comment.find('\n', begin), comment.size());
    lines += fmt::format("# {}\n", comment.substr(begin, end - begin));
    begin = end + 1;
  }
  return lines + text;
}

}  // namespace synthesizer
