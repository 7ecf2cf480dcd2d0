#include "core/graph/state_store.h"

#include <algorithm>

#include "core/base/error.h"
#include "core/tensor/fill.h"

namespace synthesizer {

StateStore::StateStore(const Graph& graph) {
  for (const Node& node : graph.nodes()) {
    const auto* leaf = dynamic_cast<const Leaf*>(node.op.get());
    if (leaf == nullptr || !leaf->persistent()) continue;
    tensors_.push_back({node.name, node.outputs[0], leaf->kind(), leaf->initializer(), leaf->block(), 0, nullptr});
  }
  std::sort(tensors_.begin(), tensors_.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  int64_t bytes = 0;
  for (StateTensor& tensor : tensors_) {
    tensor.offset = bytes;
    bytes += align_up(tensor.type.bytes());
  }
  storage_ = Storage(bytes);
  for (StateTensor& tensor : tensors_) tensor.data = storage_.data() + tensor.offset;
}

const StateTensor* StateStore::find(std::string_view name) const {
  const auto it = std::lower_bound(tensors_.begin(), tensors_.end(), name,
                                   [](const StateTensor& tensor, std::string_view key) { return tensor.name < key; });
  return it != tensors_.end() && it->name == name ? &*it : nullptr;
}

const StateTensor& StateStore::at(std::string_view name) const {
  const StateTensor* tensor = find(name);
  CHECK(tensor != nullptr, "no tensor {} among the parameters and the optimizer's state", name);
  return *tensor;
}

void StateStore::initialize(uint64_t seed) {
  for (const StateTensor& tensor : tensors_) {
    std::vector<int64_t> whole, sizes;
    for (const Dim& dim : tensor.block.whole.dims()) whole.push_back(dim.size);
    for (const Dim& dim : tensor.type.shape.dims()) sizes.push_back(dim.size);
    fill_initial(tensor.initializer, seed, tensor.name, whole, tensor.block.begin, sizes, tensor.type.dtype,
                 tensor.data);
  }
}

}  // namespace synthesizer
