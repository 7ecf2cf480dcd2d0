#include "core/graph/state_store.h"

#include <algorithm>
#include <map>
#include <utility>

#include "core/base/error.h"
#include "core/tensor/bfloat16.h"
#include "core/tensor/device.h"
#include "core/tensor/fill.h"

namespace synthesizer {
namespace {

template <typename T>
void round_all(const std::byte* from, std::byte* to, int64_t count) {
  const T* values = reinterpret_cast<const T*>(from);
  std::transform(values, values + count, reinterpret_cast<BFloat16*>(to), rounded<BFloat16, T>);
}

}  // namespace

StateStore::StateStore(const Graph& graph, Device* device) {
  add(graph);
  allocate(device);
}

StateStore::StateStore(std::span<const std::unique_ptr<Graph>> graphs, Device* device) {
  for (const auto& graph : graphs) add(*graph);
  allocate(device);
}

void StateStore::add(const Graph& graph) {
  std::map<std::string, size_t> known;
  for (size_t i = 0; i < tensors_.size(); ++i) known[tensors_[i].name] = i;
  for (const Node& node : graph.nodes()) {
    const auto* leaf = dynamic_cast<const Leaf*>(node.op.get());
    if (leaf == nullptr || !leaf->persistent()) continue;
    const auto same = known.find(node.name);
    if (same == known.end()) {
      tensors_.push_back(
          {node.name, node.outputs[0], leaf->kind(), leaf->initializer(), leaf->block(), leaf->source(), 0, nullptr});
    } else {
      const StateTensor& tensor = tensors_[same->second];
      CHECK(tensor.type == node.outputs[0] && tensor.block.begin == leaf->block().begin,
            "{} is {} in one graph of a step and {} in another", node.name, tensor.type.shape.to_string(),
            node.outputs[0].shape.to_string());
    }
  }
}

void StateStore::allocate(Device* device) {
  const auto group = [](const StateTensor& tensor) {
    return tensor.kind == Leaf::Kind::kGathered ? 2 : tensor.kind == Leaf::Kind::kDerived ? 1 : 0;
  };
  std::sort(tensors_.begin(), tensors_.end(),
            [&](const auto& a, const auto& b) { return std::pair(group(a), a.name) < std::pair(group(b), b.name); });
  const auto begin_of = [&](int number) {
    const auto in = [&](const StateTensor& tensor) { return group(tensor) >= number; };
    return static_cast<size_t>(std::find_if(tensors_.begin(), tensors_.end(), in) - tensors_.begin());
  };
  state_ = begin_of(1);
  lasting_ = begin_of(2);
  int64_t bytes = 0;
  for (StateTensor& tensor : tensors_) {
    tensor.offset = bytes;
    bytes += align_up(tensor.type.bytes());
  }
  storage_ = Storage(bytes, device);
  for (StateTensor& tensor : tensors_) tensor.data = storage_.data() + tensor.offset;
}

const StateTensor* StateStore::find(std::string_view name) const {
  const std::span<const StateTensor> all = tensors_;
  for (const auto& in : {all.first(state_), all.subspan(state_, lasting_ - state_), all.subspan(lasting_)}) {
    const auto it = std::lower_bound(in.begin(), in.end(), name,
                                     [](const StateTensor& tensor, std::string_view key) { return tensor.name < key; });
    if (it != in.end() && it->name == name) return &*it;
  }
  return nullptr;
}

const StateTensor& StateStore::at(std::string_view name) const {
  const StateTensor* tensor = find(name);
  CHECK(tensor != nullptr, "no tensor {} among the parameters and the optimizer's state", name);
  return *tensor;
}

void StateStore::initialize(uint64_t seed) {
  write([&](const StateTensor& tensor, std::byte* data) {
    std::vector<int64_t> whole, sizes;
    for (const Dim& dim : tensor.block.whole.dims()) whole.push_back(dim.size);
    for (const Dim& dim : tensor.type.shape.dims()) sizes.push_back(dim.size);
    fill_initial(tensor.initializer, seed, tensor.name, whole, tensor.block.begin, sizes, tensor.type.dtype, data);
  });
}

const std::byte* StateStore::on_host(const StateTensor& tensor, std::vector<std::byte>& space) const {
  if (device() == nullptr) return tensor.data;
  space.resize(static_cast<size_t>(tensor.type.bytes()));
  device()->download(space.data(), tensor.data, tensor.type.bytes());
  return space.data();
}

void StateStore::write(const Write& write) {
  std::vector<std::byte> space;
  for (const StateTensor& tensor : tensors()) {
    if (device() == nullptr) {
      write(tensor, address(tensor));
      continue;
    }
    on_host(tensor, space);
    write(tensor, space.data());
    device()->upload(address(tensor), space.data(), tensor.type.bytes());
  }
  derive();
}

void StateStore::derive() {
  std::vector<std::byte> space;
  for (const StateTensor& tensor : derived()) {
    if (tensor.source.empty()) continue;
    const StateTensor& source = at(tensor.source);
    const int64_t count = tensor.type.shape.elements();
    CHECK(source.type.shape == tensor.type.shape, "{} is {}, of {} that is {}", tensor.name,
          tensor.type.shape.to_string(), source.name, source.type.shape.to_string());
    const std::byte* from = on_host(source, space);
    std::vector<std::byte> copy(device() == nullptr ? 0 : static_cast<size_t>(tensor.type.bytes()));
    std::byte* to = copy.empty() ? address(tensor) : copy.data();
    if (source.type.dtype == DType::kFloat64)
      round_all<double>(from, to, count);
    else
      round_all<float>(from, to, count);
    if (!copy.empty()) device()->upload(address(tensor), copy.data(), tensor.type.bytes());
  }
}

}  // namespace synthesizer
