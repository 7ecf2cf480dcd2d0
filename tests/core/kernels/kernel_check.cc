#include "tests/core/kernels/kernel_check.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <map>

#include "core/base/philox.h"
#include "core/tensor/bfloat16.h"
#include "core/tensor/device.h"
#include "core/tensor/storage.h"

namespace synthesizer {
namespace {

template <typename T>
void store(const Tensor& tensor, std::byte* to) {
  for (size_t i = 0; i < tensor.values.size(); ++i) reinterpret_cast<T*>(to)[i] = static_cast<T>(tensor.values[i]);
}
template <>
void store<BFloat16>(const Tensor& tensor, std::byte* to) {
  for (size_t i = 0; i < tensor.values.size(); ++i)
    reinterpret_cast<BFloat16*>(to)[i] = to_bfloat16(static_cast<float>(tensor.values[i]));
}
template <typename T>
void load(const std::byte* from, Tensor& tensor) {
  for (size_t i = 0; i < tensor.values.size(); ++i)
    tensor.values[i] = static_cast<double>(reinterpret_cast<const T*>(from)[i]);
}

template <>
void load<BFloat16>(const std::byte* from, Tensor& tensor) {
  for (size_t i = 0; i < tensor.values.size(); ++i)
    tensor.values[i] = static_cast<double>(to_float(reinterpret_cast<const BFloat16*>(from)[i]));
}

void store(const Tensor& tensor, std::byte* to) {
  switch (tensor.type.dtype) {
    case DType::kFloat32:
      return store<float>(tensor, to);
    case DType::kFloat64:
      return store<double>(tensor, to);
    case DType::kBFloat16:
      return store<BFloat16>(tensor, to);
    case DType::kInt32:
      return store<int32_t>(tensor, to);
    case DType::kInt64:
      return store<int64_t>(tensor, to);
  }
}

void load(const std::byte* from, Tensor& tensor) {
  switch (tensor.type.dtype) {
    case DType::kFloat32:
      return load<float>(from, tensor);
    case DType::kFloat64:
      return load<double>(from, tensor);
    case DType::kBFloat16:
      return load<BFloat16>(from, tensor);
    case DType::kInt32:
      return load<int32_t>(from, tensor);
    case DType::kInt64:
      return load<int64_t>(from, tensor);
  }
}

std::vector<ValueType> types(const Tensors& tensors) {
  std::vector<ValueType> found;
  for (const Tensor& tensor : tensors) found.push_back(tensor.type);
  return found;
}

constexpr int64_t kGuard = 4096;

void expect_close(const Tensors& actual, const Tensors& expected, double tolerance, const std::string& what) {
  ASSERT_EQ(actual.size(), expected.size());
  for (size_t t = 0; t < expected.size(); ++t) {
    double largest = 0;
    for (const double v : expected[t].values) largest = std::isfinite(v) ? std::max(largest, std::abs(v)) : largest;
    for (int64_t i = 0; i < expected[t].size(); ++i) {
      const double a = actual[t][i], e = expected[t][i];
      const bool same =
          std::isfinite(e) ? std::abs(a - e) <= tolerance * largest : a == e || (std::isnan(a) && std::isnan(e));
      ASSERT_TRUE(same) << what << ": output " << t << " element " << i << " is " << a << ", expected " << e
                        << " (largest " << largest << ")";
    }
  }
}

void expect_same_bits(const Tensors& actual, const Tensors& expected, const std::string& what) {
  for (size_t t = 0; t < expected.size(); ++t)
    ASSERT_EQ(0, std::memcmp(actual[t].values.data(), expected[t].values.data(), expected[t].values.size() * 8))
        << what << ": output " << t;
}

}  // namespace

Tensor random_tensor(Shape shape, uint64_t seed, double low, double high) {
  Tensor tensor{{DType::kFloat64, std::move(shape)}, {}};
  for (int64_t i = 0; i < tensor.type.shape.elements(); ++i) {
    const PhiloxCounter words = philox({static_cast<uint32_t>(i), 0, 0, 0}, philox_key(seed));
    tensor.values.push_back(low + (high - low) * uniform_double(words[0], words[1]));
  }
  return tensor;
}

Tensor integers(Shape shape, std::vector<double> values, DType dtype) {
  return {{dtype, std::move(shape)}, std::move(values)};
}

Tensor scalar(double value, DType dtype) { return {{dtype, Shape{}}, {value}}; }

Tensors as_type(Tensors tensors, DType dtype) {
  for (Tensor& tensor : tensors) {
    if (!is_floating(tensor.type.dtype)) continue;
    tensor.type.dtype = dtype;
    if (dtype == DType::kFloat32)
      for (double& v : tensor.values) v = static_cast<double>(static_cast<float>(v));
    if (dtype == DType::kBFloat16)
      for (double& v : tensor.values) v = static_cast<double>(to_float(to_bfloat16(static_cast<float>(v))));
  }
  return tensors;
}

Tensors run_kernel(const KernelTable& table, const Op& op, const Tensors& inputs, int in_place,
                   const AxisCommunicators& communicators) {
  const std::vector<ValueType> input_types = types(inputs), output_types = op.infer(input_types);
  const int64_t workspace_bytes = table.workspace(op, input_types, output_types);
  Device* const device = table.device();
  std::vector<Storage> memory;
  std::vector<void*> in, out;
  std::vector<std::byte> host;
  for (const Tensor& tensor : inputs) {
    memory.emplace_back(tensor.type.bytes(), device);
    host.resize(static_cast<size_t>(tensor.type.bytes()));
    store(tensor, host.data());
    upload(device, memory.back().data(), host.data(), tensor.type.bytes());
    in.push_back(memory.back().data());
  }
  const std::vector<std::byte> garbage(static_cast<size_t>(kGuard), std::byte{0xff});
  const auto fill = [&](const Storage& storage) {
    for (int64_t at = 0; at < storage.bytes(); at += kGuard)
      upload(device, storage.data() + at, garbage.data(), std::min(kGuard, storage.bytes() - at));
  };
  Tensors outputs;
  for (const ValueType& type : output_types) {
    memory.emplace_back(type.bytes(), device);
    fill(memory.back());
    out.push_back(memory.back().data());
    outputs.push_back({type, std::vector<double>(static_cast<size_t>(type.shape.elements()))});
  }
  const std::vector<Alias> aliases = op.aliases();
  for (int i = 0; i < static_cast<int>(aliases.size()); ++i) {
    const Alias& alias = aliases[static_cast<size_t>(i)];
    if (in_place == i || in_place == kAllInPlace)
      out[static_cast<size_t>(alias.output)] = in[static_cast<size_t>(alias.input)];
  }
  const Storage workspace(workspace_bytes + kGuard, device);
  fill(workspace);
  table.make(op, input_types, output_types, communicators)->run(in, out, workspace.data());
  host.resize(static_cast<size_t>(kGuard));
  download(device, host.data(), workspace.data() + workspace_bytes, kGuard);
  EXPECT_EQ(host, garbage) << "behind the workspace of " << op.name();
  for (size_t i = 0; i < outputs.size(); ++i) {
    host.resize(static_cast<size_t>(outputs[i].type.bytes()));
    download(device, host.data(), out[i], outputs[i].type.bytes());
    load(host.data(), outputs[i]);
  }
  return outputs;
}

void check_kernel(const Op& op, const Tensors& inputs, const Reference& reference, const Tolerance& tolerance) {
  for (const DType dtype : {DType::kFloat32, DType::kFloat64, DType::kBFloat16}) {
    const double allowed = dtype == DType::kFloat32   ? tolerance.f32
                           : dtype == DType::kFloat64 ? tolerance.f64
                                                      : tolerance.bf16;
    if (dtype == DType::kBFloat16 && allowed == 0) continue;
    const Tensors given = as_type(inputs, dtype);
    Tensors expected;
    for (const ValueType& type : op.infer(types(given)))
      expected.push_back({type, std::vector<double>(static_cast<size_t>(type.shape.elements()))});
    reference(given, expected);
    std::map<std::string, Tensors> first;  // by what variants have in common
    for (const KernelVariant& variant : kernel_variants()) {
      const std::string what = std::string(op.name()) + " " + std::string(to_string(dtype)) + " " + variant.name;
      const std::unique_ptr<KernelTable> table = variant.make();
      const Tensors outputs = run_kernel(*table, op, given);
      expect_close(outputs, expected, allowed, what);
      const auto [found, is_first] = first.try_emplace(variant.same, outputs);
      if (!is_first && (dtype != DType::kFloat32 || tolerance.float32_threads_equal))
        expect_same_bits(outputs, found->second, what + " against the first of " + variant.same);
      for (int alias = 0; alias < static_cast<int>(op.aliases().size()); ++alias) {
        const Alias a = op.aliases()[static_cast<size_t>(alias)];
        if (a.kind == Alias::Kind::kView) continue;
        if (given[static_cast<size_t>(a.input)].type != outputs[static_cast<size_t>(a.output)].type) continue;
        expect_same_bits(run_kernel(*table, op, given, alias), outputs, what + " in place");
      }
    }
  }
}

void for_each_index(const std::vector<Dim>& dims, const std::vector<Shape>& shapes,
                    const std::function<void(const std::vector<int64_t>& offsets)>& visit) {
  std::vector<std::vector<int64_t>> strides(dims.size(), std::vector<int64_t>(shapes.size()));
  for (size_t d = 0; d < dims.size(); ++d)
    for (size_t s = 0; s < shapes.size(); ++s)
      if (const int at = shapes[s].find(dims[d].name); at >= 0)
        strides[d][s] = shapes[s].strides()[static_cast<size_t>(at)];
  std::vector<int64_t> offsets(shapes.size()), index(dims.size());
  while (true) {
    visit(offsets);
    size_t d = dims.size();
    for (; d-- > 0;) {
      const bool wraps = ++index[d] == dims[d].size;
      for (size_t s = 0; s < shapes.size(); ++s)
        offsets[s] += wraps ? -strides[d][s] * (dims[d].size - 1) : strides[d][s];
      if (!wraps) break;
      index[d] = 0;
    }
    if (d == static_cast<size_t>(-1)) return;
  }
}

}  // namespace synthesizer
