// float32 and bfloat16 products: one oneDNN matmul primitive over two batch dimensions, its scratchpad in the given
// workspace. oneDNN's AVX-512 kernels take the layouts of attention ([batch, length, heads, head] as batch × heads
// matrices) as they are.
#include <dnnl.h>
#include <omp.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

#include "core/base/error.h"
#include "core/kernels/cpu/gemm/libraries.h"

namespace synthesizer {
namespace {

void check(dnnl_status_t status, const char* what) {
  if (status != dnnl_success) fail("oneDNN: {} failed with status {}", what, static_cast<int>(status));
}

template <typename Handle, dnnl_status_t (*kDestroy)(Handle)>
class Owned {
 public:
  Owned() = default;
  ~Owned() {
    if (handle_ != nullptr) kDestroy(handle_);
  }
  Owned(Owned&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Owned& operator=(Owned&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }
  Handle get() const { return handle_; }
  Handle* out() { return &handle_; }

 private:
  Handle handle_ = nullptr;
};
using Engine = Owned<dnnl_engine_t, dnnl_engine_destroy>;
using Stream = Owned<dnnl_stream_t, dnnl_stream_destroy>;
using Memory = Owned<dnnl_memory_t, dnnl_memory_destroy>;
using Attributes = Owned<dnnl_primitive_attr_t, dnnl_primitive_attr_destroy>;
using PostOps = Owned<dnnl_post_ops_t, dnnl_post_ops_destroy>;
using Descriptor = Owned<dnnl_primitive_desc_t, dnnl_primitive_desc_destroy>;
using Primitive = Owned<dnnl_primitive_t, dnnl_primitive_destroy>;

// oneDNN asks OpenMP how many threads it may use: the calling thread's own setting, given back afterwards.
class OpenMpThreads {
 public:
  explicit OpenMpThreads(int threads) : before_(omp_get_max_threads()) {
    if (before_ != threads) omp_set_num_threads(threads);
  }
  ~OpenMpThreads() { omp_set_num_threads(before_); }
  OpenMpThreads(const OpenMpThreads&) = delete;

 private:
  int before_;
};

// A batch stride of 0 is a size of 1, which oneDNN spreads over the batch.
dnnl_memory_desc_t describe(const Product& p, DType dtype, const MatrixStrides& s, int64_t rows, int64_t columns,
                            bool swap) {
  const int64_t batch[2] = {s.batch[0] == 0 ? 1 : p.batch[0], s.batch[1] == 0 ? 1 : p.batch[1]};
  dnnl_dims_t sizes = {batch[swap], batch[!swap], rows, columns};
  dnnl_dims_t strides = {s.batch[swap], s.batch[!swap], s.row, s.column};
  int64_t extent = 1;
  for (int i = 0; i < 4; ++i)
    if (sizes[i] > 1) extent = std::max(extent, sizes[i] * strides[i]);
  for (int i = 0; i < 4; ++i)
    if (sizes[i] == 1) strides[i] = i == 3 ? 1 : extent;
  dnnl_memory_desc_t description;
  const dnnl_data_type_t type = dtype == DType::kBFloat16 ? dnnl_bf16 : dnnl_f32;
  check(dnnl_memory_desc_init_by_strides(&description, 4, sizes, type, strides), "a description of strides");
  return description;
}

class OneDnnGemm : public Gemm {
 public:
  OneDnnGemm(const Product& product, int threads, int64_t workspace) {
    check(dnnl_engine_create(engine_.out(), dnnl_cpu, 0), "the engine");
    check(dnnl_stream_create(stream_.out(), engine_.get(), dnnl_stream_default_flags), "the stream");
    // Fewer threads need less workspace. The order of the two batch dimensions decides which kernel oneDNN finds: take
    // the faster kind.
    for (threads_ = threads; threads_ > 0; threads_ /= 2) {
      const OpenMpThreads scope(threads_);
      if (find_primitive(product, false, workspace, true) || find_primitive(product, true, workspace, true) ||
          find_primitive(product, false, workspace, false))
        return;
    }
    fail("oneDNN: no product of {}x{}x{} in {} bytes of workspace", product.m, product.n, product.k, workspace);
  }

  void run(const void* a, const void* b, void* c, void* workspace) const override {
    const OpenMpThreads scope(threads_);
    void* const pointers[4] = {const_cast<void*>(a), const_cast<void*>(b), c, workspace};
    dnnl_exec_arg_t arguments[4];
    const int names[4] = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST, DNNL_ARG_SCRATCHPAD};
    for (int i = 0; i < 4; ++i) {
      check(dnnl_memory_set_data_handle(memories_[i].get(), pointers[i]), "giving memory");
      arguments[i] = {names[i], memories_[i].get()};
    }
    check(dnnl_primitive_execute(primitive_.get(), stream_.get(), 4, arguments), "a product");
  }

 private:
  // False if the implementation is not one of the block kernels (which keep to the scratchpad) though asked for, or
  // needs more workspace.
  bool find_primitive(const Product& p, bool swap, int64_t workspace, bool block_kernels_only) {
    const dnnl_memory_desc_t a = describe(p, p.dtype, p.a, p.m, p.k, swap),
                             b = describe(p, p.dtype, p.b, p.k, p.n, swap),
                             c = describe(p, p.c_type(), p.c, p.m, p.n, swap);
    Attributes attributes;
    check(dnnl_primitive_attr_create(attributes.out()), "attributes");
    check(dnnl_primitive_attr_set_scratchpad_mode(attributes.get(), dnnl_scratchpad_mode_user), "the scratchpad mode");
    PostOps sum;
    if (p.accumulate) {
      check(dnnl_post_ops_create(sum.out()), "post-ops");
      check(dnnl_post_ops_append_sum(sum.get(), 1.0f), "a sum");
      check(dnnl_primitive_attr_set_post_ops(attributes.get(), sum.get()), "post-ops");
    }
    dnnl_matmul_desc_t operation;
    check(dnnl_matmul_desc_init(&operation, &a, &b, nullptr, &c), "a matmul");
    Descriptor descriptor;
    check(dnnl_primitive_desc_create(descriptor.out(), &operation, attributes.get(), engine_.get(), nullptr),
          "a matmul");
    const char* implementation = "";
    check(dnnl_primitive_desc_query(descriptor.get(), dnnl_query_impl_info_str, 0, &implementation), "a query");
    if (block_kernels_only && std::strncmp(implementation, "brg", 3) != 0) return false;
    const dnnl_memory_desc_t* scratch = dnnl_primitive_desc_query_md(descriptor.get(), dnnl_query_scratchpad_md, 0);
    if (static_cast<int64_t>(dnnl_memory_desc_get_size(scratch)) > workspace) return false;
    check(dnnl_primitive_create(primitive_.out(), descriptor.get()), "a primitive");
    const dnnl_memory_desc_t* descriptions[4] = {&a, &b, &c, scratch};
    for (int i = 0; i < 4; ++i)
      check(dnnl_memory_create(memories_[i].out(), descriptions[i], engine_.get(), DNNL_MEMORY_NONE), "a memory");
    return true;
  }

  int threads_;
  Engine engine_;
  Stream stream_;
  Primitive primitive_;
  mutable Memory memories_[4];
};

}  // namespace

bool has_bfloat16_products() {
  const dnnl_cpu_isa_t isa = dnnl_get_effective_cpu_isa();  // levels are sets of bits
  return (isa & dnnl_cpu_isa_avx512_core_bf16) == dnnl_cpu_isa_avx512_core_bf16;
}

std::unique_ptr<Gemm> make_onednn_gemm(const Product& product, int threads, int64_t workspace) {
  return std::make_unique<OneDnnGemm>(product, threads, workspace);
}

}  // namespace synthesizer
