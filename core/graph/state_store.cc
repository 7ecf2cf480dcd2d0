#include "core/graph/state_store.h"

#include <algorithm>
#include <map>
#include <utility>

#include "core/base/error.h"
#include "core/tensor/fill.h"

namespace synthesizer {

StateStore::StateStore(const Graph& graph) {
  add(graph);
  allocate();
}

StateStore::StateStore(std::span<const std::unique_ptr<Graph>> graphs) {
  for (const auto& graph : graphs) add(*graph);
  allocate();
}

void StateStore::add(const Graph& graph) {
  std::map<std::string, size_t> known;
  for (size_t i = 0; i < tensors_.size(); ++i) known[tensors_[i].name] = i;
  for (const Node& node : graph.nodes()) {
    const auto* leaf = dynamic_cast<const Leaf*>(node.op.get());
    if (leaf == nullptr || !leaf->persistent()) continue;
    const auto same = known.find(node.name);
    if (same == known.end()) {
      tensors_.push_back({node.name, node.outputs[0], leaf->kind(), leaf->initializer(), leaf->block(), 0, nullptr});
    } else {
      const StateTensor& tensor = tensors_[same->second];
      CHECK(tensor.type == node.outputs[0] && tensor.block.begin == leaf->block().begin,
            "{} is {} in one graph of a step and {} in another", node.name, tensor.type.shape.to_string(),
            node.outputs[0].shape.to_string());
    }
  }
}

void StateStore::allocate() {
  const auto passing = [](const StateTensor& tensor) { return tensor.kind == Leaf::Kind::kGathered; };
  std::sort(tensors_.begin(), tensors_.end(), [&](const auto& a, const auto& b) {
    return std::pair(passing(a), a.name) < std::pair(passing(b), b.name);
  });
  state_ = static_cast<size_t>(std::find_if(tensors_.begin(), tensors_.end(), passing) - tensors_.begin());
  int64_t bytes = 0;
  for (StateTensor& tensor : tensors_) {
    tensor.offset = bytes;
    bytes += align_up(tensor.type.bytes());
  }
  storage_ = Storage(bytes);
  for (StateTensor& tensor : tensors_) tensor.data = storage_.data() + tensor.offset;
}

const StateTensor* StateStore::find(std::string_view name) const {
  const auto first = tensors_.begin(), middle = first + static_cast<std::ptrdiff_t>(state_), last = tensors_.end();
  for (const auto& [from, to] : {std::pair(first, middle), std::pair(middle, last)}) {
    const auto it = std::lower_bound(from, to, name,
                                     [](const StateTensor& tensor, std::string_view key) { return tensor.name < key; });
    if (it != to && it->name == name) return &*it;
  }
  return nullptr;
}

const StateTensor& StateStore::at(std::string_view name) const {
  const StateTensor* tensor = find(name);
  CHECK(tensor != nullptr, "no tensor {} among the parameters and the optimizer's state", name);
  return *tensor;
}

void StateStore::initialize(uint64_t seed) {
  for (const StateTensor& tensor : tensors()) {
    std::vector<int64_t> whole, sizes;
    for (const Dim& dim : tensor.block.whole.dims()) whole.push_back(dim.size);
    for (const Dim& dim : tensor.type.shape.dims()) sizes.push_back(dim.size);
    fill_initial(tensor.initializer, seed, tensor.name, whole, tensor.block.begin, sizes, tensor.type.dtype,
                 tensor.data);
  }
}

}  // namespace synthesizer
