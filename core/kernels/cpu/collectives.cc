// Collectives: blocks along a dim that is not the first are packed side by side, since communicators know only dense
// blocks.
#include "core/ops/collectives.h"

#include <cstring>

#include "core/kernels/collective_parts.h"
#include "core/kernels/cpu/kernel_case.h"
#include "core/kernels/cpu/parallel.h"
#include "core/tensor/storage.h"

namespace synthesizer {
namespace {

struct Parts : PartsOfTensor {
  using PartsOfTensor::PartsOfTensor;

  // [outer, parts, run] → [parts, outer, run], and back.
  void pack(int threads, const std::byte* from, std::byte* to) const { move<true>(threads, from, to); }
  void unpack(int threads, const std::byte* from, std::byte* to) const { move<false>(threads, from, to); }

  template <bool kPack>
  void move(int threads, const std::byte* from, std::byte* to) const {
    parallel_ranges(threads, outer * count, run / 4, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t mixed = i * run, packed = (i % count * outer + i / count) * run;
        std::memcpy(to + (kPack ? packed : mixed), from + (kPack ? mixed : packed), static_cast<size_t>(run));
      }
    });
  }
};

class AllReduceKernel : public Kernel {
 public:
  explicit AllReduceKernel(const KernelCase& c)
      : context_(c.context),
        communicator_(communicator_of(c, c.as<AllReduce>().axis())),
        reduction_(c.as<AllReduce>().reduction()),
        wire_(c.as<AllReduce>().wire()),
        types_(c.outputs.begin(), c.outputs.end()) {}

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void*) override {
    for (size_t i = 0; i < types_.size(); ++i)
      if (inputs[i] != outputs[i]) std::memcpy(outputs[i], inputs[i], static_cast<size_t>(types_[i].bytes()));
    for (size_t begin = 0; begin < types_.size();) {
      size_t end = begin + 1;
      while (end < types_.size() && joins_before(types_, outputs, end)) ++end;
      reduce(outputs, begin, end);
      begin = end;
    }
  }

 private:
  void reduce(std::span<void* const> outputs, size_t begin, size_t end) {
    int64_t bytes = types_[end - 1].bytes();
    for (size_t i = begin; i + 1 < end; ++i) {
      // What is between two tensors is reduced with them: give it a value.
      const int64_t own = types_[i].bytes(), padded = align_up(own);
      std::memset(static_cast<std::byte*>(outputs[i]) + own, 0, static_cast<size_t>(padded - own));
      bytes += padded;
    }
    const DType dtype = types_[begin].dtype;
    if (wire_ == Wire::kBFloat16)
      communicator_.all_reduce_rounded(static_cast<float*>(outputs[begin]), bytes / size_of(dtype));
    else
      communicator_.all_reduce(outputs[begin], bytes / size_of(dtype), dtype, reduction_);
    context_.count(&KernelCounters::collective_calls, 1);
    context_.count(&KernelCounters::collective_bytes, bytes);
  }

  CpuContext context_;
  Communicator& communicator_;
  Reduction reduction_;
  Wire wire_;
  std::vector<ValueType> types_;
};

Parts scattered(const KernelCase& c) {
  return Parts(c.inputs[0], c.as<ReduceScatter>().dim(), c.as<ReduceScatter>().size());
}
int64_t scatter_workspace(const KernelCase& c) { return scattered(c).dense() ? 0 : c.inputs[0].bytes(); }

class ReduceScatterKernel : public Kernel {
 public:
  explicit ReduceScatterKernel(const KernelCase& c)
      : context_(c.context),
        communicator_(communicator_of(c, c.as<ReduceScatter>().axis())),
        wire_(c.as<ReduceScatter>().wire()),
        parts_(scattered(c)),
        type_(c.outputs[0]) {}

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void* workspace) override {
    const void* blocks = inputs[0];
    if (!parts_.dense()) {
      parts_.pack(context_.threads, input<std::byte>(inputs, 0), static_cast<std::byte*>(workspace));
      blocks = workspace;
    }
    const int64_t count = type_.shape.elements();
    if (wire_ == Wire::kBFloat16)
      communicator_.reduce_scatter_rounded(static_cast<const float*>(blocks), output<float>(outputs, 0), count);
    else
      communicator_.reduce_scatter(blocks, outputs[0], count, type_.dtype, Reduction::kSum);
    context_.count(&KernelCounters::collective_calls, 1);
    context_.count(&KernelCounters::collective_bytes, type_.bytes() * parts_.count);
  }

 private:
  CpuContext context_;
  Communicator& communicator_;
  Wire wire_;
  Parts parts_;
  ValueType type_;
};

Parts gathered(const KernelCase& c) { return Parts(c.outputs[0], c.as<AllGather>().dim(), c.as<AllGather>().size()); }
int64_t gather_workspace(const KernelCase& c) { return gathered(c).dense() ? 0 : c.outputs[0].bytes(); }

class AllGatherKernel : public Kernel {
 public:
  explicit AllGatherKernel(const KernelCase& c)
      : context_(c.context),
        communicator_(communicator_of(c, c.as<AllGather>().axis())),
        parts_(gathered(c)),
        type_(c.inputs[0]) {}

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void* workspace) override {
    void* blocks = parts_.dense() ? outputs[0] : workspace;
    communicator_.all_gather(inputs[0], blocks, type_.shape.elements(), type_.dtype);
    if (!parts_.dense())
      parts_.unpack(context_.threads, static_cast<const std::byte*>(workspace), output<std::byte>(outputs, 0));
    context_.count(&KernelCounters::collective_calls, 1);
    context_.count(&KernelCounters::collective_bytes, type_.bytes() * parts_.count);
  }

 private:
  CpuContext context_;
  Communicator& communicator_;
  Parts parts_;
  ValueType type_;
};

// What leaves is cut along `to`, what comes is joined along `from`.
Parts sent(const KernelCase& c) { return Parts(c.inputs[0], c.as<AllToAll>().to(), c.as<AllToAll>().size()); }
Parts received(const KernelCase& c) { return Parts(c.outputs[0], c.as<AllToAll>().from(), c.as<AllToAll>().size()); }
int64_t all_to_all_workspace(const KernelCase& c) {
  return (sent(c).dense() ? 0 : align_up(c.inputs[0].bytes())) + (received(c).dense() ? 0 : c.outputs[0].bytes());
}

class AllToAllKernel : public Kernel {
 public:
  explicit AllToAllKernel(const KernelCase& c)
      : context_(c.context),
        communicator_(communicator_of(c, c.as<AllToAll>().axis())),
        sent_(sent(c)),
        received_(received(c)),
        type_(c.inputs[0]) {}

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void* workspace) override {
    std::byte* space = static_cast<std::byte*>(workspace);
    const void* blocks = inputs[0];
    if (!sent_.dense()) {
      sent_.pack(context_.threads, input<std::byte>(inputs, 0), space);
      blocks = space;
      space += align_up(type_.bytes());
    }
    void* arrived = received_.dense() ? outputs[0] : space;
    communicator_.all_to_all(blocks, arrived, type_.shape.elements() / sent_.count, type_.dtype);
    if (!received_.dense()) received_.unpack(context_.threads, space, output<std::byte>(outputs, 0));
    context_.count(&KernelCounters::collective_calls, 1);
    context_.count(&KernelCounters::collective_bytes, type_.bytes());
  }

 private:
  CpuContext context_;
  Communicator& communicator_;
  Parts sent_, received_;
  ValueType type_;
};

class KeepOnFirstKernel : public Kernel {
 public:
  explicit KeepOnFirstKernel(const KernelCase& c)
      : keep_(c.as<KeepOnFirst>().axis().index == 0), bytes_(static_cast<size_t>(c.outputs[0].bytes())) {}

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void*) override {
    if (!keep_)
      std::memset(outputs[0], 0, bytes_);
    else if (inputs[0] != outputs[0])
      std::memcpy(outputs[0], inputs[0], bytes_);
  }

 private:
  bool keep_;
  size_t bytes_;
};

}  // namespace

std::span<const KernelEntry> collective_kernels() {
  static const KernelEntry kEntries[] = {{&typeid(AllReduce), make_untyped<AllReduceKernel>, nullptr},
                                         {&typeid(ReduceScatter), make_untyped<ReduceScatterKernel>, scatter_workspace},
                                         {&typeid(AllGather), make_untyped<AllGatherKernel>, gather_workspace},
                                         {&typeid(AllToAll), make_untyped<AllToAllKernel>, all_to_all_workspace},
                                         {&typeid(KeepOnFirst), make_untyped<KeepOnFirstKernel>, nullptr}};
  return kEntries;
}

}  // namespace synthesizer
