#include "tests/dist/nccl/fake_nccl.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "core/tensor/bfloat16.h"

namespace {

using synthesizer::BFloat16;
using synthesizer::NcclId;
using synthesizer::NcclOperation;
using synthesizer::NcclResult;
using synthesizer::NcclStream;
using synthesizer::NcclType;

enum class Kind { kAllReduce, kReduceScatter, kAllGather, kBroadcast, kSend, kReceive };

struct Operation {
  Kind kind;
  const void* in;
  void* out;
  size_t count;
  NcclType type;
  NcclOperation operation;
  int peer;  // or root
};

size_t width_of(NcclType type) {
  switch (type) {
    case NcclType::kInt8:
      return 1;
    case NcclType::kBFloat16:
      return 2;
    case NcclType::kInt32:
    case NcclType::kFloat32:
      return 4;
    default:
      return 8;
  }
}

// What one rank gives to a stream at once.
using Batch = std::vector<Operation>;

// The ranks of one communicator. A batch is done by all together: each posts its own and waits for the others'.
struct Ranks {
  explicit Ranks(int size_)
      : size(size_), posted(static_cast<size_t>(size_)), colors(posted.size()), keys(posted.size()) {}

  // False if the communicator was aborted.
  bool meet() {
    std::unique_lock lock(mutex);
    if (aborted) return false;
    const uint64_t mine = round;
    if (++arrived == size) {
      arrived = 0;
      ++round;
      changed.notify_all();
    } else {
      changed.wait(lock, [&] { return round != mine || aborted; });
    }
    return round != mine;
  }
  void abort() {
    const std::lock_guard lock(mutex);
    aborted = true;
    changed.notify_all();
  }

  const int size;
  std::mutex mutex;
  std::condition_variable changed;
  int arrived = 0, made = 0;
  uint64_t round = 0;
  bool aborted = false;
  std::vector<const Batch*> posted;
  std::vector<int> colors, keys;
  std::map<int, std::shared_ptr<Ranks>> parts;  // by colour, while a split goes on
};

}  // namespace

struct ncclComm {
  std::shared_ptr<Ranks> ranks;
  int rank;
  // Of one that does not block: how many times it is asked for its state until a call that has returned kInProgress has
  // ended. The first call of each kind does, as connections are made then.
  std::atomic<int> asked_in_vain = 0;
  std::set<std::string> called;
  // What graphs may run again.
  struct Given {
    ncclComm* comm;
    Batch batch;
  };
  std::vector<std::unique_ptr<Given>> given;
};

namespace {

struct State {
  std::mutex mutex;
  FakeNcclLaunch launch = nullptr;
  int version = 23000;
  int next_id = 1;
  std::map<int, std::shared_ptr<Ranks>> worlds;  // by id, until all ranks are there
  std::string failing;
  NcclResult failure = NcclResult::kSuccess;
  int failing_rank = -1;
  NcclResult later = NcclResult::kSuccess;
  int live = 0, aborted = 0;
  std::vector<std::unique_ptr<ncclComm>> kept;  // that were aborted
};
State& state() {
  static State all;
  return all;
}

NcclResult entered(const char* function) {
  const std::lock_guard lock(state().mutex);
  if (state().failing != function) return NcclResult::kSuccess;
  state().failing.clear();
  return state().failure;
}

// In the order of the ranks, which is not that of dist/reduce.h.
template <typename T>
void reduce_as(const std::vector<const void*>& blocks, void* out, size_t count, NcclOperation operation) {
  for (size_t i = 0; i < count; ++i) {
    auto value = synthesizer::widened(static_cast<const T*>(blocks[0])[i]);
    for (size_t r = 1; r < blocks.size(); ++r) {
      const auto other = synthesizer::widened(static_cast<const T*>(blocks[r])[i]);
      value = operation == NcclOperation::kSum ? static_cast<decltype(value)>(value + other) : std::max(value, other);
    }
    static_cast<T*>(out)[i] = synthesizer::rounded<T>(value);
  }
}

void reduce(const std::vector<const void*>& blocks, void* out, const Operation& what) {
  switch (what.type) {
    case NcclType::kFloat32:
      return reduce_as<float>(blocks, out, what.count, what.operation);
    case NcclType::kFloat64:
      return reduce_as<double>(blocks, out, what.count, what.operation);
    case NcclType::kBFloat16:
      return reduce_as<BFloat16>(blocks, out, what.count, what.operation);
    case NcclType::kInt32:
      return reduce_as<int32_t>(blocks, out, what.count, what.operation);
    case NcclType::kInt64:
      return reduce_as<int64_t>(blocks, out, what.count, what.operation);
    case NcclType::kInt8:
      return reduce_as<int8_t>(blocks, out, what.count, what.operation);
  }
}

void copy(void* out, const void* in, size_t bytes) {
  if (bytes > 0 && out != in) std::memmove(out, in, bytes);
}

// The n-th send of rank `from` to rank `to`.
const Operation* find_send(const Batch& batch, int to, int n) {
  for (const Operation& other : batch)
    if (other.kind == Kind::kSend && other.peer == to && n-- == 0) return &other;
  return nullptr;
}

// Operation `index` of this rank's batch, into `result` where others may still read its buffer.
void run(const Ranks& ranks, int rank, size_t index, std::vector<char>& result) {
  const Batch& mine = *ranks.posted[static_cast<size_t>(rank)];
  const Operation& what = mine[index];
  const size_t bytes = what.count * width_of(what.type);
  if (what.kind == Kind::kSend) return;
  if (what.kind == Kind::kReceive) {
    const auto before =
        std::count_if(mine.begin(), mine.begin() + static_cast<std::ptrdiff_t>(index),
                      [&](const auto& other) { return other.kind == Kind::kReceive && other.peer == what.peer; });
    const Operation* const sent =
        find_send(*ranks.posted[static_cast<size_t>(what.peer)], rank, static_cast<int>(before));
    if (sent == nullptr || sent->count * width_of(sent->type) != bytes) std::abort();  // NCCL would hang
    result.resize(bytes);
    return copy(result.data(), sent->in, bytes);
  }
  std::vector<const void*> ins;
  for (const Batch* batch : ranks.posted) {
    const Operation& other = (*batch)[index];
    if (other.kind != what.kind || other.count != what.count || other.type != what.type) std::abort();
    ins.push_back(other.in);
  }
  result.resize(what.kind == Kind::kAllGather ? bytes * ins.size() : bytes);
  if (what.kind == Kind::kBroadcast) return copy(result.data(), ins[static_cast<size_t>(what.peer)], bytes);
  if (what.kind == Kind::kAllGather) {
    for (size_t r = 0; r < ins.size(); ++r) copy(result.data() + r * bytes, ins[r], bytes);
    return;
  }
  if (what.kind == Kind::kReduceScatter)
    for (const void*& in : ins) in = static_cast<const char*>(in) + static_cast<size_t>(rank) * bytes;
  reduce(ins, result.data(), what);
}

void run_given(void* data) {
  const ncclComm::Given& given = *static_cast<const ncclComm::Given*>(data);
  Ranks& ranks = *given.comm->ranks;
  ranks.posted[static_cast<size_t>(given.comm->rank)] = &given.batch;
  if (!ranks.meet()) return;
  std::vector<std::vector<char>> results(given.batch.size());
  for (size_t i = 0; i < given.batch.size(); ++i) run(ranks, given.comm->rank, i, results[i]);
  if (!ranks.meet()) return;
  for (size_t i = 0; i < given.batch.size(); ++i) copy(given.batch[i].out, results[i].data(), results[i].size());
}

// A group of calls of this thread, between ncclGroupStart and ncclGroupEnd.
struct Group {
  bool open = false;
  NcclResult failed = NcclResult::kSuccess;  // of a call in it: none of them is given then
  ncclComm* comm = nullptr;
  NcclStream stream = nullptr;
  Batch batch;
};
Group& group() {
  static thread_local Group one;
  return one;
}

NcclResult in_progress_at_first(ncclComm* comm, const char* function) {
  if (!comm->called.insert(function).second) return NcclResult::kSuccess;
  comm->asked_in_vain = 2;
  return NcclResult::kInProgress;
}

NcclResult give_batch(const char* function, ncclComm* comm, NcclStream stream, Batch batch) {
  comm->given.push_back(std::make_unique<ncclComm::Given>(ncclComm::Given{comm, std::move(batch)}));
  state().launch(stream, run_given, comm->given.back().get());
  return in_progress_at_first(comm, function);
}

NcclResult give(const char* function, ncclComm* comm, NcclStream stream, const Operation& operation) {
  if (const NcclResult result = entered(function); result != NcclResult::kSuccess) return group().failed = result;
  if (comm->asked_in_vain > 0) std::abort();  // no call before the one in progress has ended
  if (!group().open) return give_batch(function, comm, stream, {operation});
  group().comm = comm;
  group().stream = stream;
  group().batch.push_back(operation);
  return NcclResult::kSuccess;
}

ncclComm* make_comm(std::shared_ptr<Ranks> ranks, int rank) {
  const std::lock_guard lock(state().mutex);
  ++state().live;
  auto* const comm = new ncclComm;
  comm->ranks = std::move(ranks);
  comm->rank = rank;
  return comm;
}

}  // namespace

extern "C" {

NcclResult ncclGetVersion(int* version) {
  *version = state().version;
  return NcclResult::kSuccess;
}
const char* ncclGetErrorString(NcclResult result) {
  return result == NcclResult::kRemoteError ? "remote process exited" : "fake error";
}
const char* ncclGetLastError(ncclComm*) { return "of the\nstand-in\n"; }

NcclResult ncclGetUniqueId(NcclId* id) {
  if (const NcclResult result = entered("ncclGetUniqueId"); result != NcclResult::kSuccess) return result;
  const std::lock_guard lock(state().mutex);
  *id = {};
  std::memcpy(id->bytes, &state().next_id, sizeof(int));
  ++state().next_id;
  return NcclResult::kSuccess;
}

NcclResult ncclCommInitRankConfig(ncclComm** comm, int size, NcclId id, int rank, synthesizer::NcclConfig* config) {
  if (const NcclResult result = entered("ncclCommInitRankConfig"); result != NcclResult::kSuccess) return result;
  if (config->magic != 0xcafebeef || config->size != 48 || config->blocking != 0) return NcclResult::kInvalidArgument;
  int key = 0;
  std::memcpy(&key, id.bytes, sizeof(int));
  std::shared_ptr<Ranks> ranks;
  {
    const std::lock_guard lock(state().mutex);
    std::shared_ptr<Ranks>& world = state().worlds[key];
    if (world == nullptr) world = std::make_shared<Ranks>(size);
    ranks = world;
    if (++ranks->made == size) state().worlds.erase(key);
  }
  *comm = make_comm(ranks, rank);
  return NcclResult::kInProgress;  // until all are there
}

NcclResult ncclCommSplit(ncclComm* comm, int color, int key, ncclComm** made, synthesizer::NcclConfig*) {
  if (const NcclResult result = entered("ncclCommSplit"); result != NcclResult::kSuccess) return result;
  Ranks& ranks = *comm->ranks;
  ranks.colors[static_cast<size_t>(comm->rank)] = color;
  ranks.keys[static_cast<size_t>(comm->rank)] = key;
  ranks.meet();
  std::vector<int> members;
  for (int r = 0; r < ranks.size; ++r)
    if (ranks.colors[static_cast<size_t>(r)] == color) members.push_back(r);
  std::stable_sort(members.begin(), members.end(), [&](int a, int b) {
    return ranks.keys[static_cast<size_t>(a)] < ranks.keys[static_cast<size_t>(b)];
  });
  std::shared_ptr<Ranks> part;
  {
    const std::lock_guard lock(ranks.mutex);
    std::shared_ptr<Ranks>& place = ranks.parts[color];
    if (place == nullptr) place = std::make_shared<Ranks>(static_cast<int>(members.size()));
    part = place;
  }
  ranks.meet();
  {
    const std::lock_guard lock(ranks.mutex);
    ranks.parts.clear();
  }
  ranks.meet();
  *made = make_comm(part, static_cast<int>(std::find(members.begin(), members.end(), comm->rank) - members.begin()));
  {
    const std::lock_guard lock(state().mutex);
    part->made = part->size;
  }
  return in_progress_at_first(comm, "ncclCommSplit");
}

NcclResult ncclCommCount(ncclComm* comm, int* count) {
  *count = comm->ranks->size;
  return NcclResult::kSuccess;
}
NcclResult ncclCommUserRank(ncclComm* comm, int* rank) {
  *rank = comm->rank;
  return NcclResult::kSuccess;
}

NcclResult ncclCommGetAsyncError(ncclComm* comm, NcclResult* error) {
  const std::lock_guard lock(state().mutex);
  const bool all_there = comm->ranks->made == comm->ranks->size;
  const bool goes_on = comm->asked_in_vain > 0 && comm->asked_in_vain-- > 0;
  *error = comm->rank == state().failing_rank ? state().later
           : !all_there || goes_on            ? NcclResult::kInProgress
                                              : NcclResult::kSuccess;
  return NcclResult::kSuccess;
}

NcclResult ncclCommDestroy(ncclComm* comm) {
  const std::lock_guard lock(state().mutex);
  --state().live;
  delete comm;
  return NcclResult::kSuccess;
}

// The handle itself stays: what waited with it goes on to read it, as no GPU would.
NcclResult ncclCommAbort(ncclComm* comm) {
  comm->ranks->abort();
  const std::lock_guard lock(state().mutex);
  --state().live;
  ++state().aborted;
  state().kept.emplace_back(comm);
  return NcclResult::kSuccess;
}

NcclResult ncclGroupStart() {
  group() = {.open = true};
  return NcclResult::kSuccess;
}
NcclResult ncclGroupEnd() {
  const NcclResult result = entered("ncclGroupEnd");
  Group one = std::move(group());
  group() = {};
  if (one.failed != NcclResult::kSuccess) return one.failed;
  if (result != NcclResult::kSuccess || one.batch.empty()) return result;
  return give_batch("ncclGroupEnd", one.comm, one.stream, std::move(one.batch));
}

NcclResult ncclAllReduce(const void* in, void* out, size_t count, NcclType type, NcclOperation operation,
                         ncclComm* comm, NcclStream stream) {
  return give("ncclAllReduce", comm, stream, {Kind::kAllReduce, in, out, count, type, operation, 0});
}
NcclResult ncclReduceScatter(const void* in, void* out, size_t count, NcclType type, NcclOperation operation,
                             ncclComm* comm, NcclStream stream) {
  return give("ncclReduceScatter", comm, stream, {Kind::kReduceScatter, in, out, count, type, operation, 0});
}
NcclResult ncclAllGather(const void* in, void* out, size_t count, NcclType type, ncclComm* comm, NcclStream stream) {
  return give("ncclAllGather", comm, stream, {Kind::kAllGather, in, out, count, type, NcclOperation::kSum, 0});
}
NcclResult ncclBroadcast(const void* in, void* out, size_t count, NcclType type, int root, ncclComm* comm,
                         NcclStream stream) {
  return give("ncclBroadcast", comm, stream, {Kind::kBroadcast, in, out, count, type, NcclOperation::kSum, root});
}
NcclResult ncclSend(const void* data, size_t count, NcclType type, int to, ncclComm* comm, NcclStream stream) {
  return give("ncclSend", comm, stream, {Kind::kSend, data, nullptr, count, type, NcclOperation::kSum, to});
}
NcclResult ncclRecv(void* data, size_t count, NcclType type, int from, ncclComm* comm, NcclStream stream) {
  return give("ncclRecv", comm, stream, {Kind::kReceive, nullptr, data, count, type, NcclOperation::kSum, from});
}

FakeNcclControl fake_nccl_control() {
  return {.reset =
              [](FakeNcclLaunch launch) {
                const std::lock_guard lock(state().mutex);
                state().launch = launch;
                state().version = 23000;
                state().worlds.clear();
                state().failing.clear();
                state().failing_rank = -1;
                state().aborted = 0;
              },
          .set_version = [](int version) { state().version = version; },
          .fail_next =
              [](const char* function, NcclResult result) {
                const std::lock_guard lock(state().mutex);
                state().failing = function;
                state().failure = result;
              },
          .fail_later =
              [](int rank, NcclResult error) {
                const std::lock_guard lock(state().mutex);
                state().failing_rank = rank;
                state().later = error;
              },
          .live = [] { return state().live; },
          .aborted = [] { return state().aborted; }};
}

}  // extern "C"
