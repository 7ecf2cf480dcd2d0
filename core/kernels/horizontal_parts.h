// A horizontal fusion's parts as cases of their own, and as kernels one after the other.
#pragma once

#include <algorithm>
#include <memory>
#include <vector>

#include "core/kernels/kernel_case.h"
#include "core/ops/horizontal.h"
#include "core/tensor/storage.h"

namespace synthesizer {

// Where a part's inputs and outputs are among all.
struct PartPlace {
  const Op* op;
  size_t first_input, inputs, first_output, outputs;

  std::span<void* const> of_inputs(std::span<void* const> all) const { return all.subspan(first_input, inputs); }
  std::span<void* const> of_outputs(std::span<void* const> all) const { return all.subspan(first_output, outputs); }
  template <typename Context>
  BasicKernelCase<Context> of(const BasicKernelCase<Context>& c) const {
    return {*op, c.inputs.subspan(first_input, inputs), c.outputs.subspan(first_output, outputs), c.context,
            c.communicators};
  }
};

inline std::vector<PartPlace> part_places(const HorizontalFusion& fusion) {
  std::vector<PartPlace> places;
  size_t input = 0, output = 0;
  for (const HorizontalFusion::Part& part : fusion.parts()) {
    places.push_back({part.op.get(), input, part.inputs, output, part.outputs});
    input += part.inputs;
    output += part.outputs;
  }
  return places;
}

// kEntry: the device's line for an op.
template <typename Context, const BasicKernelEntry<Context>& (*kEntry)(const Op&)>
class PartsKernel : public Kernel {
 public:
  explicit PartsKernel(const BasicKernelCase<Context>& c) : places_(part_places(c.template as<HorizontalFusion>())) {
    for (const PartPlace& place : places_) kernels_.push_back(kEntry(*place.op).make(place.of(c)));
  }

  static int64_t workspace(const BasicKernelCase<Context>& c) {
    int64_t most = 0;
    for (const PartPlace& place : part_places(c.template as<HorizontalFusion>()))
      if (const auto workspace = kEntry(*place.op).workspace) most = std::max(most, align_up(workspace(place.of(c))));
    return most;
  }

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void* workspace) override {
    for (size_t i = 0; i < places_.size(); ++i)
      kernels_[i]->run(places_[i].of_inputs(inputs), places_[i].of_outputs(outputs), workspace);
  }

 private:
  std::vector<PartPlace> places_;
  std::vector<std::unique_ptr<Kernel>> kernels_;
};

}  // namespace synthesizer
