// Collectives, on the communication stream: a device's communicator takes buffers where they lie; one of the host's
// gets pinned copies of them. Blocks along a dim that is not the first are packed side by side, since communicators
// know only dense blocks.
#include <algorithm>
#include <functional>
#include <map>
#include <vector>

#include "core/kernels/collective_parts.h"
#include "core/kernels/cuda/device/device_code.h"
#include "core/kernels/cuda/kernel_case.h"
#include "core/kernels/cuda/runtime/launch.h"
#include "core/ops/collectives.h"
#include "core/tensor/storage.h"

namespace synthesizer::cuda {
namespace {

// [outer, parts, run] → [parts, outer, run], or back, in units of U.
template <typename U, bool kPack>
__global__ void move_parts_kernel(const U* from, U* to, int64_t outer, int64_t parts, int64_t run) {
  for (int64_t i = thread_of_grid(); i < outer * parts * run; i += threads_of_grid()) {
    const int64_t at = i % run, block = i / run;  // of the mixed one
    const int64_t packed = (block % parts * outer + block / parts) * run + at;
    if (kPack)
      to[packed] = from[i];
    else
      to[i] = from[packed];
  }
}

struct Parts : PartsOfTensor {
  using PartsOfTensor::PartsOfTensor;

  template <bool kPack>
  void move(cudaStream_t stream, const void* from, void* to) const {
    if (run % 16 == 0)
      move_by<Pack<int32_t, 4>, kPack>(stream, from, to);
    else if (run % 4 == 0)
      move_by<int32_t, kPack>(stream, from, to);
    else
      move_by<int16_t, kPack>(stream, from, to);
  }
  template <typename U, bool kPack>
  void move_by(cudaStream_t stream, const void* from, void* to) const {
    const int64_t units = run / static_cast<int64_t>(sizeof(U));
    launch(stream, {"move_parts_kernel", blocks_for(outer * count * units)}, move_parts_kernel<U, kPack>,
           static_cast<const U*>(from), static_cast<U*>(to), outer, count, units);
  }
};

// One call of a communicator, with memory of the device.
class Exchange {
 public:
  using Call = std::function<void(const void* in, void* out)>;

  Exchange(const CudaContext& context, Communicator& communicator)
      : context_(context), on_device_(communicator.device() != nullptr) {
    CHECK(!on_device_ || communicator.device() == context.device, "a communicator of another device");
    if (communicator.among_threads()) context.device->call_on_own_thread();
  }

  // `in` may be `out`. What is counted is `bytes`.
  void run(const void* in, int64_t in_bytes, void* out, int64_t out_bytes, int64_t bytes, const Call& call) {
    context_.count(&KernelCounters::collective_calls, 1);
    context_.count(&KernelCounters::collective_bytes, bytes);
    if (on_device_) return call(in, out);
    Copies& copies = copies_[{in, out}];
    if (copies.work == nullptr) {
      copies.in = Storage::pinned(in_bytes, *context_.device);
      if (in != out) copies.out = Storage::pinned(out_bytes, *context_.device);
      copies.work = [call, from = copies.in.data(), to = in == out ? copies.in.data() : copies.out.data()] {
        call(from, to);
      };
    }
    const cudaStream_t stream = context_.communication_stream;
    check(cudaMemcpyAsync(copies.in.data(), in, static_cast<size_t>(in_bytes), cudaMemcpyDeviceToHost, stream),
          "copying what is sent");
    context_.device->call(stream, copies.work);
    const std::byte* const arrived = in == out ? copies.in.data() : copies.out.data();
    check(cudaMemcpyAsync(out, arrived, static_cast<size_t>(out_bytes), cudaMemcpyHostToDevice, stream),
          "copying what arrived");
  }

 private:
  struct Copies {
    Storage in, out;
    std::function<void()> work;
  };

  CudaContext context_;
  bool on_device_;
  std::map<std::pair<const void*, void*>, Copies> copies_;
};

class AllReduceKernel : public Kernel {
 public:
  explicit AllReduceKernel(const KernelCase& c)
      : stream_(c.context.communication_stream),
        communicator_(communicator_of(c, c.as<AllReduce>().axis())),
        exchange_(c.context, communicator_),
        reduction_(c.as<AllReduce>().reduction()),
        wire_(c.as<AllReduce>().wire()),
        types_(c.outputs.begin(), c.outputs.end()) {}

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void*) override {
    for (size_t i = 0; i < types_.size(); ++i)
      if (inputs[i] != outputs[i])
        check(cudaMemcpyAsync(outputs[i], inputs[i], static_cast<size_t>(types_[i].bytes()), cudaMemcpyDeviceToDevice,
                              stream_),
              "copying what is reduced");
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
      if (padded > own)
        check(cudaMemsetAsync(static_cast<std::byte*>(outputs[i]) + own, 0, static_cast<size_t>(padded - own), stream_),
              "clearing what is between tensors");
      bytes += padded;
    }
    const DType dtype = types_[begin].dtype;
    exchange_.run(outputs[begin], bytes, outputs[begin], bytes, bytes,
                  [&communicator = communicator_, wire = wire_, reduction = reduction_, dtype,
                   count = bytes / size_of(dtype)](const void*, void* data) {
                    if (wire == Wire::kBFloat16)
                      communicator.all_reduce_rounded(static_cast<float*>(data), count);
                    else
                      communicator.all_reduce(data, count, dtype, reduction);
                  });
  }

  cudaStream_t stream_;
  Communicator& communicator_;
  Exchange exchange_;
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
      : stream_(c.context.communication_stream),
        communicator_(communicator_of(c, c.as<ReduceScatter>().axis())),
        exchange_(c.context, communicator_),
        wire_(c.as<ReduceScatter>().wire()),
        parts_(scattered(c)),
        type_(c.outputs[0]) {}

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void* workspace) override {
    const void* blocks = inputs[0];
    if (!parts_.dense()) {
      parts_.move<true>(stream_, inputs[0], workspace);
      blocks = workspace;
    }
    exchange_.run(blocks, type_.bytes() * parts_.count, outputs[0], type_.bytes(), type_.bytes() * parts_.count,
                  [&communicator = communicator_, wire = wire_, dtype = type_.dtype, count = type_.shape.elements()](
                      const void* in, void* out) {
                    if (wire == Wire::kBFloat16)
                      communicator.reduce_scatter_rounded(static_cast<const float*>(in), static_cast<float*>(out),
                                                          count);
                    else
                      communicator.reduce_scatter(in, out, count, dtype, Reduction::kSum);
                  });
  }

 private:
  cudaStream_t stream_;
  Communicator& communicator_;
  Exchange exchange_;
  Wire wire_;
  Parts parts_;
  ValueType type_;
};

Parts gathered(const KernelCase& c) { return Parts(c.outputs[0], c.as<AllGather>().dim(), c.as<AllGather>().size()); }
int64_t gather_workspace(const KernelCase& c) { return gathered(c).dense() ? 0 : c.outputs[0].bytes(); }

class AllGatherKernel : public Kernel {
 public:
  explicit AllGatherKernel(const KernelCase& c)
      : stream_(c.context.communication_stream),
        communicator_(communicator_of(c, c.as<AllGather>().axis())),
        exchange_(c.context, communicator_),
        parts_(gathered(c)),
        type_(c.inputs[0]) {}

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void* workspace) override {
    void* const blocks = parts_.dense() ? outputs[0] : workspace;
    const int64_t bytes = type_.bytes() * parts_.count;
    exchange_.run(inputs[0], type_.bytes(), blocks, bytes, bytes,
                  [&communicator = communicator_, dtype = type_.dtype, count = type_.shape.elements()](
                      const void* in, void* out) { communicator.all_gather(in, out, count, dtype); });
    if (!parts_.dense()) parts_.move<false>(stream_, workspace, outputs[0]);
  }

 private:
  cudaStream_t stream_;
  Communicator& communicator_;
  Exchange exchange_;
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
      : stream_(c.context.communication_stream),
        communicator_(communicator_of(c, c.as<AllToAll>().axis())),
        exchange_(c.context, communicator_),
        sent_(sent(c)),
        received_(received(c)),
        type_(c.inputs[0]) {}

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void* workspace) override {
    std::byte* space = static_cast<std::byte*>(workspace);
    const void* blocks = inputs[0];
    if (!sent_.dense()) {
      sent_.move<true>(stream_, inputs[0], space);
      blocks = space;
      space += align_up(type_.bytes());
    }
    void* const arrived = received_.dense() ? outputs[0] : space;
    exchange_.run(blocks, type_.bytes(), arrived, type_.bytes(), type_.bytes(),
                  [&communicator = communicator_, dtype = type_.dtype, count = type_.shape.elements() / sent_.count](
                      const void* in, void* out) { communicator.all_to_all(in, out, count, dtype); });
    if (!received_.dense()) received_.move<false>(stream_, space, outputs[0]);
  }

 private:
  cudaStream_t stream_;
  Communicator& communicator_;
  Exchange exchange_;
  Parts sent_, received_;
  ValueType type_;
};

class KeepOnFirstKernel : public Kernel {
 public:
  explicit KeepOnFirstKernel(const KernelCase& c)
      : stream_(c.context.stream),
        keep_(c.as<KeepOnFirst>().axis().index == 0),
        bytes_(static_cast<size_t>(c.outputs[0].bytes())) {}

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void*) override {
    if (!keep_)
      check(cudaMemsetAsync(outputs[0], 0, bytes_, stream_), "clearing a part");
    else if (inputs[0] != outputs[0])
      check(cudaMemcpyAsync(outputs[0], inputs[0], bytes_, cudaMemcpyDeviceToDevice, stream_), "copying a part");
  }

 private:
  cudaStream_t stream_;
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

}  // namespace synthesizer::cuda
