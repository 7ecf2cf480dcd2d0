#include "core/checkpoint/writer.h"

#include <fcntl.h>
#include <sys/resource.h>

#include <system_error>
#include <utility>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/hash.h"
#include "core/checkpoint/checksum.h"
#include "core/graph/agreement.h"

namespace synthesizer {
namespace {

namespace fs = std::filesystem;

SafetensorsLayout layout_of(std::span<const TensorSlice> slices) {
  std::vector<StoredTensor> tensors;
  for (const TensorSlice& slice : slices)
    tensors.push_back({.name = slice.box.name, .type = stored_type(slice.box.dtype), .shape = slice.box.whole_shape});
  return SafetensorsLayout(std::move(tensors), {{"format", "pt"}});
}

constexpr int kLowestPriority = 19;

int64_t owned_elements(const TensorSlice& slice) { return slice.owner ? slice.box.elements() : 0; }

int64_t owned_bytes(std::span<const TensorSlice> slices) {
  int64_t bytes = 0;
  for (const TensorSlice& slice : slices) bytes += align_up(owned_elements(slice) * size_of(slice.box.dtype));
  return bytes;
}

void create_file(const fs::path& path, const SafetensorsLayout& layout) {
  const File file(path, O_WRONLY | O_CREAT | O_TRUNC);
  file.resize(layout.file_bytes());
  file.write_at(0, layout.header().data(), static_cast<int64_t>(layout.header().size()));
}

}  // namespace

CheckpointWriter::CheckpointWriter(CheckpointFolder folder, Communicator& world)
    : folder_(std::move(folder)), world_(world) {
  run_on_first(world_, [this] { as_input([this] { folder_.prepare(); }); });
}

CheckpointWriter::~CheckpointWriter() {
  if (background_.joinable()) background_.join();
}

void CheckpointWriter::begin(const CheckpointState& state, std::span<const TensorSlice> model,
                             std::span<const TensorSlice> optimizer) {
  finish();
  state_ = state;
  run_together(world_, [&] {
    layouts_ = {layout_of(model), layout_of(optimizer)};
    copy_slices(model, optimizer);
  });
  check_owners(model, optimizer);
  try {
    run_on_first(world_, [this] { create_files(); });
  } catch (...) {
    give_up();
    throw;
  }
  start(Stage::kWriting, &CheckpointWriter::write_slices);
}

bool CheckpointWriter::poll() {
  if (stage_ == Stage::kIdle) return false;
  const bool done = background_done_.load(std::memory_order_acquire);
  int32_t any[2] = {done ? 0 : 1, done && background_error_ ? 1 : 0};  // still at work, failed
  world_.all_reduce(any, 2, DType::kInt32, Reduction::kMax);
  if (any[0] == 1 && any[1] == 0) return false;
  background_.join();
  try {
    run_together(world_, [this] {
      if (background_error_) std::rethrow_exception(background_error_);
    });
    return advance();
  } catch (...) {
    give_up();
    throw;
  }
}

// All ranks have finished the stage. True if the checkpoint was committed.
bool CheckpointWriter::advance() {
  switch (stage_) {
    case Stage::kWriting:
      start(Stage::kHashing, &CheckpointWriter::hash_blocks);
      return false;
    case Stage::kHashing:
      world_.all_reduce(block_hashes_.data(), static_cast<int64_t>(block_hashes_.size()), DType::kInt64,
                        Reduction::kSum);
      start(Stage::kSealing, &CheckpointWriter::seal);
      return false;
    case Stage::kSealing:
      run_on_first(world_, [this] { folder_.commit(state_.step); });
      start(Stage::kSettling, &CheckpointWriter::settle);
      return true;
    default:
      stage_ = Stage::kIdle;
      return false;
  }
}

void CheckpointWriter::finish() {
  while (in_flight()) {
    background_done_.wait(false, std::memory_order_acquire);
    poll();
  }
}

void CheckpointWriter::reserve(std::span<const TensorSlice> model, std::span<const TensorSlice> optimizer) {
  const int64_t bytes = owned_bytes(model) + owned_bytes(optimizer);
  if (copy_.bytes() >= bytes) return;
  copy_ = Storage();
  copy_ = Storage(bytes);
}

void CheckpointWriter::copy_slices(std::span<const TensorSlice> model, std::span<const TensorSlice> optimizer) {
  reserve(model, optimizer);
  slices_.clear();
  std::byte* to = copy_.data();
  for (const CheckpointPart part : kCheckpointParts) {
    for (const TensorSlice& slice : part == CheckpointPart::kModel ? model : optimizer) {
      slice.box.check();
      if (owned_elements(slice) == 0) continue;
      const int64_t width = size_of(slice.box.dtype);
      const auto* from = static_cast<const std::byte*>(slice.data);
      int64_t copied = 0;
      for_each_run(slice.box, [&](int64_t, int64_t offset, int64_t count) {
        download(slice.device, to + copied * width, from + offset * width, count * width);
        copied += count;
      });
      slices_.push_back({slice.box, part, to});
      slices_.back().box.buffer_shape.clear();
      to += align_up(copied * width);
    }
  }
}

// Collective: all ranks have the same tensors, and every element is written once (by the count of elements).
void CheckpointWriter::check_owners(std::span<const TensorSlice> model, std::span<const TensorSlice> optimizer) {
  const auto names = static_cast<int64_t>(hash_name(layouts_[0].header() + layouts_[1].header()));
  int64_t largest[2] = {names, ~names};
  world_.all_reduce(largest, 2, DType::kInt64, Reduction::kMax);
  CHECK(largest[0] == names && largest[1] == ~names, "checkpoint of step {}: the ranks name different tensors",
        state_.step);
  std::vector<int64_t> owned;
  for (const CheckpointPart part : kCheckpointParts) {
    std::map<std::string, int64_t> by_name;
    for (const TensorSlice& slice : part == CheckpointPart::kModel ? model : optimizer)
      by_name[slice.box.name] = owned_elements(slice);
    for (const auto& [name, elements] : by_name) owned.push_back(elements);
  }
  if (!owned.empty())
    world_.all_reduce(owned.data(), static_cast<int64_t>(owned.size()), DType::kInt64, Reduction::kSum);
  size_t next = 0;
  for (const SafetensorsLayout& layout : layouts_) {
    for (const StoredTensor& tensor : layout.tensors()) {
      const int64_t whole = (tensor.end - tensor.begin) / size_of(tensor.type);
      CHECK(owned[next] == whole, "checkpoint: the ranks own {} elements of tensor {}, expected {}", owned[next],
            tensor.name, whole);
      ++next;
    }
  }
}

void CheckpointWriter::create_files() {
  const fs::path partial = folder_.partial_path(state_.step);
  std::error_code error;
  fs::remove_all(partial, error);
  if (!error) fs::create_directories(partial, error);
  if (error) fail_errno(error.value(), "create", partial);
  for (const CheckpointPart part : kCheckpointParts)
    create_file(partial / file_name(part), layouts_[static_cast<size_t>(part)]);
}

// Background thread: no communicator here.
void CheckpointWriter::write_slices() {
  for (const CheckpointPart part : kCheckpointParts) {
    const File file(folder_.partial_path(state_.step) / file_name(part), O_WRONLY);
    for (const CopiedSlice& slice : slices_) {
      if (slice.part != part) continue;
      const int64_t width = size_of(slice.box.dtype);
      const int64_t begin = layouts_[static_cast<size_t>(part)].at(slice.box.name).begin;
      for_each_run(slice.box, [&](int64_t whole, int64_t offset, int64_t count) {
        file.write_at(begin + whole * width, slice.data + offset * width, count * width);
      });
    }
    file.sync();
  }
}

namespace {

ChecksumPlan plan_of(const std::array<SafetensorsLayout, 2>& layouts) {
  ChecksumPlan plan;
  for (const CheckpointPart part : kCheckpointParts) {
    const SafetensorsLayout& layout = layouts[static_cast<size_t>(part)];
    plan.add_file(part, static_cast<int64_t>(layout.header().size()), layout.tensors());
  }
  return plan;
}

}  // namespace

// Background thread, after all ranks have written: this rank's share of the blocks, read back.
void CheckpointWriter::hash_blocks() {
  block_hashes_ = plan_of(layouts_).hash_share(folder_.partial_path(state_.step), world_.rank(), world_.size());
}

// Background thread of rank 0: the checkpoint is whole on the disk, but for its name.
void CheckpointWriter::seal() {
  if (world_.rank() != 0) return;
  const fs::path partial = folder_.partial_path(state_.step);
  const File file(partial / "state.json", O_WRONLY | O_CREAT | O_TRUNC);
  file.append(state_to_text(state_, plan_of(layouts_).combine(block_hashes_)));
  file.sync();
  sync_folder(partial);
}

// Background thread of rank 0, after the commit.
void CheckpointWriter::settle() {
  if (world_.rank() == 0) folder_.settle(state_.step);
}

void CheckpointWriter::start(Stage stage, void (CheckpointWriter::*work)()) {
  stage_ = stage;
  background_done_ = false;
  background_error_ = nullptr;
  background_ = std::thread([this, work] {
    // Steps go on meanwhile, and come first wherever they want the core; of Linux this is the thread's own priority.
    setpriority(PRIO_PROCESS, 0, kLowestPriority);
    try {
      (this->*work)();
    } catch (...) {
      background_error_ = std::current_exception();
    }
    background_done_.store(true, std::memory_order_release);
    background_done_.notify_one();
  });
}

void CheckpointWriter::give_up() {
  stage_ = Stage::kIdle;
  if (world_.rank() != 0) return;
  std::error_code ignored;  // what cannot be removed now is removed when the run is started again
  fs::remove_all(folder_.partial_path(state_.step), ignored);
}

}  // namespace synthesizer
