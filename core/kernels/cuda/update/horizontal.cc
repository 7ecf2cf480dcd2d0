// Horizontal fusions: chains together, updates together; other parts one after the other.
#include <algorithm>

#include "core/kernels/cuda/cuda_kernels.h"
#include "core/kernels/cuda/update/horizontal_kernels.h"
#include "core/kernels/horizontal_parts.h"
#include "core/ops/chain.h"
#include "core/ops/update.h"

namespace synthesizer::cuda {
namespace {

using Parts = PartsKernel<CudaContext, kernel_entry>;

// Whether all parts are of class O and same(first, part).
template <typename O, typename Same>
bool all_are(const KernelCase& c, const Same& same) {
  const std::vector<PartPlace> places = part_places(c.as<HorizontalFusion>());
  const auto* first = dynamic_cast<const O*>(places[0].op);
  return first != nullptr && std::all_of(places.begin(), places.end(), [&](const PartPlace& place) {
           const auto* op = dynamic_cast<const O*>(place.op);
           return op != nullptr && same(*first, places[0].of(c), *op, place.of(c));
         });
}

bool are_chains(const KernelCase& c) {
  return all_are<Chain>(c, [](const Chain& a, const KernelCase& of_a, const Chain& b, const KernelCase& of_b) {
    return a.order() == b.order() && a.dtype(of_a.inputs) == b.dtype(of_b.inputs);
  });
}

bool are_adamws(const KernelCase& c) {
  return all_are<AdamW>(c, [](const AdamW& a, const KernelCase& of_a, const AdamW& b, const KernelCase& of_b) {
    return a.attributes() == b.attributes() && of_a.outputs[0].dtype == of_b.outputs[0].dtype;
  });
}

std::unique_ptr<Kernel> make_horizontal(const KernelCase& c) {
  if (are_chains(c)) return make_chains(c);
  if (are_adamws(c)) return make_adamws(c);
  return std::make_unique<Parts>(c);
}

int64_t horizontal_workspace(const KernelCase& c) {
  if (are_chains(c)) return chains_workspace(c);
  if (are_adamws(c)) return adamws_workspace(c);
  return Parts::workspace(c);
}

}  // namespace

std::span<const KernelEntry> horizontal_kernels() {
  static const KernelEntry kEntries[] = {{&typeid(HorizontalFusion), make_horizontal, horizontal_workspace}};
  return kEntries;
}

}  // namespace synthesizer::cuda
