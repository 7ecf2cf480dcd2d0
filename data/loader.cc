#include "data/loader.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "core/base/error.h"

namespace synthesizer {
namespace {

// The memory of one batch.
struct Slot {
  std::vector<int32_t> inputs;
  std::vector<int32_t> decoder_inputs;
  std::vector<int32_t> targets;
  std::vector<float> weights;
  std::vector<int32_t> segments;
  ExampleBatch batch;
};

template <typename T>
std::span<T> row_of(std::vector<T>& all, int64_t row, int64_t length) {
  return std::span<T>(all).subspan(static_cast<size_t>(row * length), static_cast<size_t>(length));
}

}  // namespace

// A ring of slots: [taken_, filled_) are ready, the one before taken_ is with the caller, the thread fills the others.
class Loader::Worker {
 public:
  Worker(Corpus corpus, const CorpusRange& range, const Objective& objective, const LoaderOptions& options);
  ~Worker() { stop(); }

  const ExampleBatch* next();
  void seek(ExamplePosition position);
  int64_t windows() const { return windows_; }
  int64_t batches() const;
  const Objective& objective() const { return objective_; }
  int64_t rows_made() const { return rows_made_; }

 private:
  void start(ExamplePosition position);
  void stop();
  void run(ExamplePosition position);
  bool at_end(ExamplePosition position, int64_t done) const;
  // Fills the slot; the position after it.
  ExamplePosition fill(Slot& slot, ExamplePosition position);
  void fill_row(Slot& slot, int64_t row, ExamplePosition position);

  Corpus corpus_;
  CorpusRange range_;
  Objective objective_;
  LoaderOptions options_;
  int64_t windows_;
  std::vector<Slot> slots_;
  std::vector<int32_t> window_;
  std::optional<EpochPermutation> permutation_;
  int64_t permutation_epoch_ = -1;
  std::atomic<int64_t> rows_made_ = 0;

  std::mutex mutex_;
  std::condition_variable changed_;
  int64_t filled_ = 0;
  int64_t taken_ = 0;
  bool ended_ = false;
  bool stopping_ = false;
  std::exception_ptr error_;
  std::thread thread_;
};

Loader::Worker::Worker(Corpus corpus, const CorpusRange& range, const Objective& objective,
                       const LoaderOptions& options)
    : corpus_(std::move(corpus)),
      range_(range),
      objective_(objective),
      options_(options),
      windows_(range.tokens() / objective.raw_length()),
      window_(static_cast<size_t>(objective.raw_length())) {
  const int64_t last = options.end + (options.pieces - 1) * options.stride;
  if (options.batch < 1 || options.begin < 0 || options.end <= options.begin || options.pieces < 1 ||
      options.stride < 0 || last > options.batch) {
    fail_usage("batch: got rows {} to {} of {}", options.begin, last, options.batch);
  }
  if (windows_ < 1) {
    fail_usage(
        "{}: {} documents with {} tokens are not enough: one example takes {}. Give more text or shorter lengths",
        corpus_.folder().string(), range.documents, range.tokens(), objective.raw_length());
  }
  CHECK(options.prefetch >= 1, "prefetch {}", options.prefetch);
  const int64_t rows = (options.end - options.begin) * options.pieces;
  slots_.resize(static_cast<size_t>(options.prefetch) + 1);
  for (Slot& slot : slots_) {
    const auto target_size = static_cast<size_t>(rows * objective.target_length());
    slot.inputs.resize(static_cast<size_t>(rows * objective.input_length()));
    slot.decoder_inputs.resize(target_size);
    slot.targets.resize(target_size);
    slot.weights.resize(target_size);
    slot.segments.resize(static_cast<size_t>(rows * objective.segments_length()));
    slot.batch = {.inputs = slot.inputs,
                  .decoder_inputs = slot.decoder_inputs,
                  .targets = slot.targets,
                  .weights = slot.weights,
                  .segments = slot.segments,
                  .rows = rows};
  }
  start(options.start);
}

void Loader::Worker::start(ExamplePosition position) {
  filled_ = taken_ = 0;
  ended_ = stopping_ = false;
  error_ = nullptr;
  thread_ = std::thread([this, position] { run(position); });
}

void Loader::Worker::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void Loader::Worker::seek(ExamplePosition position) {
  stop();
  start(position);
}

const ExampleBatch* Loader::Worker::next() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return taken_ < filled_ || ended_; });
  if (taken_ == filled_) {
    if (error_) std::rethrow_exception(error_);
    return nullptr;
  }
  const ExampleBatch* batch = &slots_[static_cast<size_t>(taken_) % slots_.size()].batch;
  ++taken_;
  lock.unlock();
  changed_.notify_all();
  return batch;
}

void Loader::Worker::run(ExamplePosition position) {
  const auto room = static_cast<int64_t>(slots_.size()) - 1;  // one slot stays with the caller
  std::exception_ptr error;
  try {
    if (options_.order == ExampleOrder::kShuffled) position = advance_position(position, 0, windows_);
    for (int64_t done = 0; !at_end(position, done); ++done) {
      {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return filled_ - taken_ < room || stopping_; });
        if (stopping_) return;
      }
      position = fill(slots_[static_cast<size_t>(done) % slots_.size()], position);
      {
        const std::lock_guard lock(mutex_);
        ++filled_;
      }
      changed_.notify_all();
    }
  } catch (...) {
    error = std::current_exception();
  }
  {
    const std::lock_guard lock(mutex_);
    ended_ = true;
    error_ = error;
  }
  changed_.notify_all();
}

bool Loader::Worker::at_end(ExamplePosition position, int64_t done) const {
  if (options_.order == ExampleOrder::kShuffled) return false;
  return position.example >= windows_ || (options_.max_batches > 0 && done >= options_.max_batches);
}

ExamplePosition Loader::Worker::fill(Slot& slot, ExamplePosition position) {
  const bool shuffled = options_.order == ExampleOrder::kShuffled;
  const int64_t global_rows = shuffled ? options_.batch : std::min(options_.batch, windows_ - position.example);
  ExampleBatch& batch = slot.batch;
  batch.position = position;
  batch.next = shuffled ? advance_position(position, global_rows, windows_)
                        : ExamplePosition{position.epoch, position.example + global_rows};
  batch.global_live_targets = global_rows * objective_.live_targets();
  const int64_t piece = options_.end - options_.begin;
  int64_t live_rows = 0;
  for (int64_t row = 0; row < batch.rows; ++row) {
    const int64_t ahead = options_.begin + row / piece * options_.stride + row % piece;
    if (ahead >= global_rows) {
      fill_row(slot, row, {position.epoch, windows_});
    } else {
      ++live_rows;
      fill_row(slot, row,
               shuffled ? advance_position(position, ahead, windows_)
                        : ExamplePosition{position.epoch, position.example + ahead});
    }
  }
  batch.live_targets = live_rows * objective_.live_targets();
  return batch.next;
}

void Loader::Worker::fill_row(Slot& slot, int64_t row, ExamplePosition position) {
  const ExampleRow out{.inputs = row_of(slot.inputs, row, objective_.input_length()),
                       .decoder_inputs = row_of(slot.decoder_inputs, row, objective_.target_length()),
                       .targets = row_of(slot.targets, row, objective_.target_length()),
                       .weights = row_of(slot.weights, row, objective_.target_length()),
                       .segments = row_of(slot.segments, row, objective_.segments_length())};
  ++rows_made_;
  if (position.example >= windows_) {
    objective_.make_filler(out);
    return;
  }
  int64_t window = position.example;
  if (options_.order == ExampleOrder::kShuffled) {
    if (permutation_epoch_ != position.epoch) {
      permutation_.emplace(windows_, options_.seed, position.epoch);
      permutation_epoch_ = position.epoch;
    }
    window = (*permutation_)(position.example);
  }
  corpus_.read(range_.begin + window * objective_.raw_length(), window_);
  objective_.make(window_, {options_.seed, position.epoch, position.example}, out);
}

int64_t Loader::Worker::batches() const {
  const int64_t all = (windows_ + options_.batch - 1) / options_.batch;
  return options_.max_batches > 0 ? std::min(all, options_.max_batches) : all;
}

Loader::Loader(Corpus corpus, const CorpusRange& range, const Objective& objective, const LoaderOptions& options)
    : worker_(std::make_unique<Worker>(std::move(corpus), range, objective, options)) {}
Loader::~Loader() = default;
Loader::Loader(Loader&&) noexcept = default;
Loader& Loader::operator=(Loader&&) noexcept = default;

const ExampleBatch* Loader::next() { return worker_->next(); }
void Loader::seek(ExamplePosition position) { worker_->seek(position); }
int64_t Loader::windows() const { return worker_->windows(); }
int64_t Loader::batches() const { return worker_->batches(); }
const Objective& Loader::objective() const { return worker_->objective(); }
int64_t Loader::rows_made() const { return worker_->rows_made(); }

}  // namespace synthesizer
