// The output layer and its loss: rows of logits, made by one product for some rows and all words at a time, are looked
// at by a block of threads each; in backward they, or the weights that were kept of them, become the logits' gradients,
// of which two products make those of x and the table.
#include <vector>

#include "core/kernels/cuda/device/device_code.h"
#include "core/kernels/cuda/kernel_case.h"
#include "core/kernels/cuda/runtime/launch.h"
#include "core/kernels/logit_blocks.h"
#include "core/ops/cross_entropy.h"

namespace synthesizer::cuda {
namespace {

constexpr int64_t kRowsTogether = 1024;  // of which there are logits at a time

// What the kernels know of the vocabulary.
struct Words {
  int64_t vocab, padded, true_vocab, first_word;  // as in LogitBlocks
  int64_t block, blocks;                          // words of a block, blocks of the table

  explicit Words(const LogitBlocks& layout)
      : vocab(layout.vocab),
        padded(layout.padded),
        true_vocab(layout.true_vocab),
        first_word(layout.first_word),
        block(layout.block),
        blocks(layout.blocks) {}
  __device__ int64_t local(int32_t target) const {
    const int64_t word = target - first_word;
    return word >= 0 && word < vocab ? word : -1;
  }
};

template <typename C>
__device__ C log_z_of(C maximum, C sum) {
  return sum != 0 ? maximum + Math::log(sum) : static_cast<C>(LinearCrossEntropy::kNoWords);  // NaN is not 0
}

// Outputs of the rows of one product.
template <typename T>
struct Seen {
  Compute<T>*log_z, *target, *mean, *largest;
  T* weights;  // or null
};

// A row a block of threads: a warp takes one block of words after the other.
template <typename T>
__global__ void look_at_logits_kernel(const Compute<T>* logits, const int32_t* targets, Words words, bool means,
                                      Seen<T> out) {
  using C = Compute<T>;
  C* const space = reinterpret_cast<C*>(shared_memory());
  const int64_t row = blockIdx.x;
  const C* const of_row = logits + row * words.vocab;
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  const int warps = static_cast<int>(blockDim.x) / kWarp;
  const C none = static_cast<C>(LinearCrossEntropy::kNoWords);
  C largest = none;
  double total = 0;
  for (int64_t b = warp; b < words.blocks; b += warps) {
    const int64_t begin = b * words.block, end = begin + words.block < words.vocab ? begin + words.block : words.vocab;
    C maximum = minus_infinity<C>();
    for (int64_t w = begin + lane; w < end; w += kWarp) maximum = Largest::of(maximum, of_row[w]);
    maximum = warp_reduce<Largest>(maximum);
    C sum = 0;
    for (int64_t w = begin + lane; w < end; w += kWarp) {
      sum += Math::exp(of_row[w] - maximum);
      if (means) total += static_cast<double>(of_row[w]);
    }
    sum = warp_reduce<Sum>(sum);
    const C log_z = log_z_of(maximum, sum);
    if (lane == 0) out.log_z[row * words.blocks + b] = log_z;
    if (sum != 0) largest = Largest::of(largest, maximum);
    if (out.weights != nullptr)
      for (int64_t w = begin + lane; w < end; w += kWarp)
        out.weights[row * words.padded + w] = rounded<T>(Math::exp(of_row[w] - log_z));
  }
  if (out.weights != nullptr)
    for (int64_t w = words.vocab + threadIdx.x; w < words.padded; w += blockDim.x)
      out.weights[row * words.padded + w] = T{};
  largest = block_reduce<Largest>(largest, none, space);
  if (means) {
    __syncthreads();
    total = block_reduce<Sum>(total, 0.0, reinterpret_cast<double*>(space));
  }
  if (threadIdx.x > 0) return;
  out.largest[row] = largest;
  const int64_t target = words.local(targets[row]);
  out.target[row] = target < 0 ? C(0) : of_row[target];
  out.mean[row] = means ? static_cast<C>(total / static_cast<double>(words.true_vocab)) : C(0);
}

// What backward is given of the rows of one product.
template <typename T>
struct Given {
  const Compute<T>* logits;  // of which weights are made, by log_z; or
  const T* kept;             // the weights
  const Compute<T>*log_z, *d_log_z, *d_target, *d_mean;
  const int32_t* targets;
};

// Gradients of the logits, dense [rows, vocab].
template <typename T>
__global__ void logit_gradient_kernel(Given<T> given, Words words, T* out) {
  using C = Compute<T>;
  const int64_t row = blockIdx.y;
  const C mean = given.d_mean == nullptr ? C(0) : given.d_mean[row] / static_cast<C>(words.true_vocab);
  const int64_t target = words.local(given.targets[row]);
  for (int64_t w = thread_of_grid(); w < words.vocab; w += threads_of_grid()) {
    const int64_t of_block = row * words.blocks + w / words.block;
    const T weight = given.kept != nullptr
                         ? given.kept[row * words.padded + w]
                         : rounded<T>(Math::exp(given.logits[row * words.vocab + w] - given.log_z[of_block]));
    // The target's own, with what is added to it, is rounded once.
    const C d = given.d_log_z[of_block] * widened(weight) + mean;
    out[row * words.vocab + w] = rounded<T>(w == target ? d + given.d_target[row] : d);
  }
}

template <typename From, typename To>
__global__ void round_table_kernel(const From* from, To* to, int64_t n) {
  for (int64_t i = thread_of_grid(); i < n; i += threads_of_grid()) to[i] = rounded<To>(from[i]);
}

// Words that do not count have no gradient: rows or columns of the table's.
template <typename C>
__global__ void clear_padding_kernel(C* dtable, int64_t outer, int64_t row, int64_t from, int64_t n) {
  for (int64_t i = thread_of_grid(); i < outer * n; i += threads_of_grid()) dtable[i / n * row + from + i % n] = C(0);
}

// The products of some rows with the whole table.
class Products {
 public:
  Products(const KernelCase& c, const LogitBlocks& layout, bool backward) : layout_(layout) {
    const int64_t rest = layout.rows % kRowsTogether;
    for (const int64_t m : {std::min(kRowsTogether, layout.rows), rest}) {
      const bool made = m > 0 && layout.vocab > 0;
      logits_.push_back(made ? c.context.products->make(logits(m)) : nullptr);
      dx_.push_back(made && backward ? c.context.products->make(dx(m)) : nullptr);
      for (const bool add : {false, true})
        dtable_.push_back(made && backward ? c.context.products->make(dtable(m, add)) : nullptr);
    }
  }
  const DeviceGemm& logits_of(int64_t m) const { return *logits_[at(m)]; }
  const DeviceGemm& dx_of(int64_t m) const { return *dx_[at(m)]; }
  const DeviceGemm& dtable_of(int64_t m, bool add) const { return *dtable_[2 * at(m) + (add ? 1 : 0)]; }

 private:
  size_t at(int64_t m) const { return m == std::min(kRowsTogether, layout_.rows) ? 0 : 1; }
  Product base(int64_t m, int64_t n, int64_t k) const {
    Product p;
    p.dtype = layout_.dtype;
    p.m = m;
    p.n = n;
    p.k = k;
    return p;
  }
  MatrixStrides table(bool transposed) const {  // [model, words], or [words, model]
    const int64_t model = layout_.model_first ? layout_.padded : 1, word = layout_.model_first ? 1 : layout_.depth;
    return transposed ? MatrixStrides{{0, 0}, word, model} : MatrixStrides{{0, 0}, model, word};
  }
  Product logits(int64_t m) const {
    Product p = base(m, layout_.vocab, layout_.depth);
    p.wide = true;
    p.a = {{0, 0}, layout_.depth, 1};
    p.b = table(false);
    p.c = {{0, 0}, layout_.vocab, 1};
    return p;
  }
  Product dx(int64_t m) const {
    Product p = base(m, layout_.depth, layout_.vocab);
    p.a = {{0, 0}, layout_.vocab, 1};
    p.b = table(true);
    p.c = {{0, 0}, layout_.depth, 1};
    return p;
  }
  // dlogitsᵀ · x [words, model], or xᵀ · dlogits [model, words].
  Product dtable(int64_t m, bool add) const {
    Product p = layout_.model_first ? base(layout_.depth, layout_.vocab, m) : base(layout_.vocab, layout_.depth, m);
    p.wide = true;
    p.a = {{0, 0}, 1, p.m};
    p.b = {{0, 0}, p.n, 1};
    p.c = {{0, 0}, layout_.model_first ? layout_.padded : layout_.depth, 1};
    p.accumulate = add;
    return p;
  }

  LogitBlocks layout_;
  std::vector<std::unique_ptr<DeviceGemm>> logits_, dx_, dtable_;
};

// Where things lie in the workspace, in bytes: the same on every rank, though on the last ones fewer words may count.
struct Space {
  explicit Space(const LogitBlocks& layout) {
    const int64_t words = std::min(layout.padded, layout.true_vocab), rows = std::min(kRowsTogether, layout.rows);
    dlogits = align_up(rows * words * size_of(compute_type(layout.dtype)));
    table = dlogits + align_up(rows * words * size_of(layout.dtype));
    products = table + (layout.narrow() ? align_up(layout.padded * layout.depth * size_of(layout.dtype)) : 0);
  }
  int64_t dlogits, table, products;  // whose workspace is the last
};

LogitBlocks layout_of(const KernelCase& c, const VocabularyPart& part) {
  return LogitBlocks(c.inputs[0], c.in(1), part);
}

// The table as it enters products.
template <typename T>
const T* table_of(cudaStream_t stream, const LogitBlocks& layout, const Compute<T>* table, std::byte* space) {
  if constexpr (std::is_same_v<T, Compute<T>>) {
    return table;
  } else {
    T* const copy = reinterpret_cast<T*>(space);
    const int64_t n = layout.padded * layout.depth;
    launch(stream, {"round_table_kernel", blocks_for(n)}, round_table_kernel<Compute<T>, T>, table, copy, n);
    return copy;
  }
}

template <typename T>
class CrossEntropyKernel : public Kernel {
 public:
  explicit CrossEntropyKernel(const KernelCase& c)
      : stream_(c.context.stream),
        layout_(layout_of(c, c.as<LinearCrossEntropy>().part())),
        options_(c.as<LinearCrossEntropy>().options()),
        space_(layout_),
        products_(c, layout_, false) {}

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void* workspace) override {
    std::byte* const space = static_cast<std::byte*>(workspace);
    C* const logits = reinterpret_cast<C*>(space);
    const T* const table = table_of<T>(stream_, layout_, input<C>(inputs, 1), space + space_.table);
    for (int64_t row = 0; row < layout_.rows; row += kRowsTogether) {
      const int64_t m = std::min(kRowsTogether, layout_.rows - row);
      if (layout_.vocab > 0)
        products_.logits_of(m).run(stream_, input<T>(inputs, 0) + row * layout_.depth, table, {}, logits,
                                   space + space_.products);
      const Seen<T> out{output<C>(outputs, 0) + row * layout_.blocks, output<C>(outputs, 1) + row,
                        output<C>(outputs, 2) + row, output<C>(outputs, 3) + row,
                        options_.kept ? output<T>(outputs, 4) + row * layout_.padded : nullptr};
      const int warps = static_cast<int>(std::clamp<int64_t>(layout_.blocks, 1, kThreads / kWarp));
      launch(stream_, {"look_at_logits_kernel", m, warps * kWarp, warps * 8}, look_at_logits_kernel<T>, logits,
             input<int32_t>(inputs, 2) + row, Words(layout_), options_.mean, out);
    }
  }

 private:
  using C = Compute<T>;
  cudaStream_t stream_;
  LogitBlocks layout_;
  CrossEntropyOptions options_;
  Space space_;
  Products products_;
};

template <typename T>
class CrossEntropyGradientKernel : public Kernel {
 public:
  explicit CrossEntropyGradientKernel(const KernelCase& c)
      : stream_(c.context.stream),
        layout_(layout_of(c, c.as<LinearCrossEntropyGradient>().part())),
        options_(c.as<LinearCrossEntropyGradient>().options()),
        space_(layout_),
        products_(c, layout_, true) {}

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void* workspace) override {
    const T* const x = input<T>(inputs, 0);
    T* const dx = output<T>(outputs, 0);
    C* const dtable = output<C>(outputs, 1);
    clear_padding(dtable);
    if (layout_.vocab == 0) {
      check(cudaMemsetAsync(dx, 0, static_cast<size_t>(layout_.rows * layout_.depth) * sizeof(T), stream_),
            "clearing a gradient");
      return;
    }
    std::byte* const space = static_cast<std::byte*>(workspace);
    T* const dlogits = reinterpret_cast<T*>(space + space_.dlogits);
    const T* const table = table_of<T>(stream_, layout_, input<C>(inputs, 1), space + space_.table);
    for (int64_t row = 0; row < layout_.rows; row += kRowsTogether) {
      const int64_t m = std::min(kRowsTogether, layout_.rows - row);
      const T* const rows = x + row * layout_.depth;
      C* const logits = options_.kept ? nullptr : reinterpret_cast<C*>(space);
      if (logits != nullptr) products_.logits_of(m).run(stream_, rows, table, {}, logits, space + space_.products);
      const Given<T> given{logits,
                           options_.kept ? input<T>(inputs, 3) + row * layout_.padded : nullptr,
                           options_.kept ? nullptr : input<C>(inputs, 3) + row * layout_.blocks,
                           input<C>(inputs, 4) + row * layout_.blocks,
                           input<C>(inputs, 5) + row,
                           options_.mean ? input<C>(inputs, 6) + row : nullptr,
                           input<int32_t>(inputs, 2) + row};
      Grid grid{"logit_gradient_kernel", std::min<int64_t>(blocks_for(layout_.vocab), 16)};
      grid.blocks_y = m;
      launch(stream_, grid, logit_gradient_kernel<T>, given, Words(layout_), dlogits);
      products_.dx_of(m).run(stream_, dlogits, table, {}, dx + row * layout_.depth, space + space_.products);
      const DeviceGemm& of_table = products_.dtable_of(m, row > 0);
      if (layout_.model_first)
        of_table.run(stream_, rows, dlogits, {}, dtable, space + space_.products);
      else
        of_table.run(stream_, dlogits, rows, {}, dtable, space + space_.products);
    }
  }

 private:
  using C = Compute<T>;

  void clear_padding(C* dtable) const {
    const int64_t padding = layout_.padded - layout_.vocab;
    const int64_t outer = layout_.model_first ? layout_.depth : 1, each = layout_.model_first ? 1 : layout_.depth;
    if (padding > 0)
      launch(stream_, {"clear_padding_kernel", blocks_for(outer * padding * each)}, clear_padding_kernel<C>, dtable,
             outer, layout_.padded * each, layout_.vocab * each, padding * each);
  }

  cudaStream_t stream_;
  LogitBlocks layout_;
  CrossEntropyOptions options_;
  Space space_;
  Products products_;
};

template <typename O>
int64_t workspace(const KernelCase& c) {
  return Space(layout_of(c, c.as<O>().part())).products + c.context.products->workspace_bytes();
}

}  // namespace

std::span<const KernelEntry> cross_entropy_kernels() {
  static const KernelEntry kEntries[] = {
      {&typeid(LinearCrossEntropy), make_by_input<CrossEntropyKernel>, workspace<LinearCrossEntropy>},
      {&typeid(LinearCrossEntropyGradient), make_by_input<CrossEntropyGradientKernel>,
       workspace<LinearCrossEntropyGradient>}};
  return kEntries;
}

}  // namespace synthesizer::cuda
