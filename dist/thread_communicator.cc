#include "dist/thread_communicator.h"

#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <exception>
#include <mutex>
#include <string_view>
#include <thread>
#include <vector>

#include "core/base/error.h"
#include "dist/reduce.h"
#include "dist/traffic.h"

namespace synthesizer {
namespace {

// What one rank brings to a collective. All but the buffers, colour and key must be the same on every rank.
struct Call {
  std::string_view name;
  int64_t count = 0;
  DType dtype = DType::kFloat32;
  Reduction reduction = Reduction::kSum;
  int root = 0;
  const void* in = nullptr;
  void* out = nullptr;
  int color = 0;
  int key = 0;

  bool matches(const Call& other) const {
    return name == other.name && count == other.count && dtype == other.dtype && reduction == other.reduction &&
           root == other.root;
  }
};

const std::byte* bytes_at(const void* base, int64_t offset) { return static_cast<const std::byte*>(base) + offset; }
std::byte* bytes_at(void* base, int64_t offset) { return static_cast<std::byte*>(base) + offset; }

void copy(void* out, const void* in, int64_t bytes) {
  if (bytes > 0 && out != in) std::memcpy(out, in, static_cast<size_t>(bytes));
}

// Shared by all ranks of one run_ranks; one lock for its groups is enough for tests.
struct Job {
  explicit Job(int size) : returned(static_cast<size_t>(size)) {}
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<bool> returned;  // ranks whose body has ended
  std::exception_ptr first_error;

  void end(int rank, std::exception_ptr error) {
    const std::lock_guard lock(mutex);
    returned[static_cast<size_t>(rank)] = true;
    if (error && !first_error) first_error = error;
    changed.notify_all();
  }
};

}  // namespace

// The ranks of one communicator. `calls` and `made` are written by their own rank before a barrier and read after it.
struct ThreadCommunicator::Group {
  Group(std::shared_ptr<Job> job_, std::vector<int> members_)
      : job(std::move(job_)), members(std::move(members_)), calls(members.size()), made(members.size()) {}

  std::shared_ptr<Job> job;
  std::vector<int> members;  // the job's rank of each rank of the group
  std::vector<Call> calls;
  std::vector<std::shared_ptr<Group>> made;  // by split: the new group, at its first member
  int arrived = 0;
  uint64_t round = 0;

  int size() const { return static_cast<int>(members.size()); }

  // A rank inside a collective cannot fail, so the barrier at its end needs no way out: giving up there would free
  // buffers that others still read.
  void leave() {
    std::unique_lock lock(job->mutex);
    const uint64_t mine = round;
    if (!arrive()) job->changed.wait(lock, [&] { return round != mine; });
  }

  // True for the last rank, which opens the barrier.
  bool arrive() {
    if (++arrived < size()) return false;
    arrived = 0;
    ++round;
    job->changed.notify_all();
    return true;
  }

  // The barrier at a collective's start: gives up if a rank has failed, or a member will never come.
  void meet(int rank) {
    std::unique_lock lock(job->mutex);
    const uint64_t mine = round;
    if (arrive()) return;
    const auto gone = [&] {
      return std::find_if(members.begin(), members.end(),
                          [&](int member) { return job->returned[static_cast<size_t>(member)]; });
    };
    job->changed.wait(lock, [&] { return round != mine || job->first_error || gone() != members.end(); });
    if (round != mine) return;
    --arrived;  // nobody may go on with the buffers of a rank that has left
    if (job->first_error) fail("another rank failed [rank {}/{}]", rank, size());
    fail("{}: rank {} has returned without this call [rank {}/{}]", calls[static_cast<size_t>(rank)].name,
         gone() - members.begin(), rank, size());
  }

  // Posts this rank's call, waits for the others', and checks that all mean the same.
  void enter(int rank, const Call& call) {
    calls[static_cast<size_t>(rank)] = call;
    meet(rank);
    for (int other = 0; other < size(); ++other) {
      const Call& theirs = calls[static_cast<size_t>(other)];
      if (!theirs.matches(call))
        fail("ranks disagree: {}({} {}, root {}) here, {}({} {}, root {}) on rank {} [rank {}/{}]", call.name,
             call.count, to_string(call.dtype), call.root, theirs.name, theirs.count, to_string(theirs.dtype),
             theirs.root, other, rank, size());
    }
  }
};

ThreadCommunicator::ThreadCommunicator(std::shared_ptr<Group> group, int rank)
    : group_(std::move(group)), rank_(rank), blocks_(group_->members.size()), terms_(blocks_.size()) {}

int ThreadCommunicator::size() const { return group_->size(); }

// Each rank reduces its own share of the elements over all ranks, and writes it into all ranks' buffers.
void ThreadCommunicator::all_reduce(void* data, int64_t count, DType dtype, Reduction reduction) {
  group_->enter(rank_, {.name = "all_reduce", .count = count, .dtype = dtype, .reduction = reduction, .out = data});
  const int64_t begin = share_begin(count, rank_, size()) * size_of(dtype);
  const int64_t share = share_begin(count, rank_ + 1, size()) - share_begin(count, rank_, size());
  void* first = bytes_at(group_->calls[0].out, begin);
  for (size_t r = 0; r < blocks_.size(); ++r) blocks_[r] = bytes_at(group_->calls[r].out, begin);
  reduce_blocks(blocks_, first, share, dtype, reduction);
  for (size_t r = 1; r < group_->calls.size(); ++r)
    copy(bytes_at(group_->calls[r].out, begin), first, share * size_of(dtype));
  group_->leave();
}

void ThreadCommunicator::reduce_scatter(const void* in, void* out, int64_t count, DType dtype, Reduction reduction) {
  group_->enter(rank_, {.name = "reduce_scatter", .count = count, .dtype = dtype, .reduction = reduction, .in = in});
  const int64_t begin = count * rank_ * size_of(dtype);
  for (size_t r = 0; r < blocks_.size(); ++r) blocks_[r] = bytes_at(group_->calls[r].in, begin);
  reduce_blocks(blocks_, out, count, dtype, reduction);
  group_->leave();
}

// In the pieces and shares of MpiCommunicator, whose bits these are: a rank's own terms are not rounded.
void ThreadCommunicator::all_reduce_rounded(float* data, int64_t count) {
  group_->enter(rank_, {.name = "all_reduce_rounded", .count = count, .out = data});
  const auto data_of = [&](size_t r) { return static_cast<float*>(group_->calls[r].out); };
  const bool gathered = reduces_by_gathering(count * size_of(DType::kBFloat16), size());
  constexpr int64_t kPiece = kRoundedPieceBytes / size_of(DType::kBFloat16);
  for (int64_t begin = 0; begin < count && size() > 1; begin += kPiece) {
    const int64_t piece = std::min(kPiece, count - begin);
    const int64_t from = begin + share_begin(piece, rank_, size());
    const int64_t share = begin + share_begin(piece, rank_ + 1, size()) - from;
    for (size_t r = 0; r < terms_.size(); ++r)
      terms_[r] = {.here = data_of(r) + from, .rounded = gathered || static_cast<int>(r) != rank_};
    sum_terms(terms_, data + from, share);
    if (!gathered) round_in_place(data + from, share);
    for (size_t r = 0; r < terms_.size(); ++r) copy(data_of(r) + from, data + from, share * size_of(DType::kFloat32));
  }
  group_->leave();
}

void ThreadCommunicator::reduce_scatter_rounded(const float* in, float* out, int64_t count) {
  group_->enter(rank_, {.name = "reduce_scatter_rounded", .count = count, .in = in});
  for (size_t r = 0; r < terms_.size(); ++r)
    terms_[r] = {.here = static_cast<const float*>(group_->calls[r].in) + count * rank_,
                 .rounded = static_cast<int>(r) != rank_};
  sum_terms(terms_, out, count);
  group_->leave();
}

void ThreadCommunicator::all_gather(const void* in, void* out, int64_t count, DType dtype) {
  group_->enter(rank_, {.name = "all_gather", .count = count, .dtype = dtype, .in = in});
  const int64_t block = count * size_of(dtype);
  for (int r = 0; r < size(); ++r) copy(bytes_at(out, r * block), group_->calls[static_cast<size_t>(r)].in, block);
  group_->leave();
}

void ThreadCommunicator::all_to_all(const void* in, void* out, int64_t count, DType dtype) {
  group_->enter(rank_, {.name = "all_to_all", .count = count, .dtype = dtype, .in = in});
  const int64_t block = count * size_of(dtype);
  for (int r = 0; r < size(); ++r)
    copy(bytes_at(out, r * block), bytes_at(group_->calls[static_cast<size_t>(r)].in, rank_ * block), block);
  group_->leave();
}

void ThreadCommunicator::broadcast(void* data, int64_t bytes, int root) {
  CHECK(root >= 0 && root < size(), "broadcast from rank {} of {}", root, size());
  group_->enter(rank_, {.name = "broadcast", .count = bytes, .root = root, .out = data});
  copy(data, group_->calls[static_cast<size_t>(root)].out, bytes);
  group_->leave();
}

void ThreadCommunicator::barrier() {
  group_->enter(rank_, {.name = "barrier"});
  group_->leave();
}

std::unique_ptr<Communicator> ThreadCommunicator::split(int color, int key) {
  group_->enter(rank_, {.name = "split", .color = color, .key = key});
  std::vector<int> ranks;  // of this communicator, in the new one's order
  for (int r = 0; r < size(); ++r)
    if (group_->calls[static_cast<size_t>(r)].color == color) ranks.push_back(r);
  std::stable_sort(ranks.begin(), ranks.end(), [&](int a, int b) {
    return group_->calls[static_cast<size_t>(a)].key < group_->calls[static_cast<size_t>(b)].key;
  });
  const auto first = static_cast<size_t>(ranks.front());
  if (rank_ == ranks.front()) {
    std::vector<int> members;
    for (int r : ranks) members.push_back(group_->members[static_cast<size_t>(r)]);
    group_->made[first] = std::make_shared<Group>(group_->job, std::move(members));
  }
  group_->leave();
  std::shared_ptr<Group> made = group_->made[first];
  group_->leave();
  if (rank_ == ranks.front()) group_->made[first].reset();
  const auto index = std::find(ranks.begin(), ranks.end(), rank_) - ranks.begin();
  return std::make_unique<ThreadCommunicator>(std::move(made), static_cast<int>(index));
}

void run_ranks(int size, const std::function<void(Communicator&)>& body) {
  CHECK(size >= 1, "{} ranks", size);
  const auto job = std::make_shared<Job>(size);
  std::vector<int> members(static_cast<size_t>(size));
  for (int rank = 0; rank < size; ++rank) members[static_cast<size_t>(rank)] = rank;
  const auto world = std::make_shared<ThreadCommunicator::Group>(job, std::move(members));
  const auto run = [&](int rank) {
    std::exception_ptr error;
    try {
      ThreadCommunicator communicator(world, rank);
      body(communicator);
    } catch (...) {
      error = std::current_exception();
    }
    job->end(rank, error);
  };
  {
    std::vector<std::jthread> threads;
    for (int rank = 1; rank < size; ++rank) threads.emplace_back(run, rank);
    run(0);
  }
  if (job->first_error) std::rethrow_exception(job->first_error);
}

}  // namespace synthesizer
