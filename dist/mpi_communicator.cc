#include "dist/mpi_communicator.h"

#include <sys/prctl.h>
#include <time.h>

#include <algorithm>
#include <cstring>
#include <string>

#include "core/base/error.h"
#include "dist/reduce.h"
#include "dist/traffic.h"

namespace synthesizer {
namespace {

constexpr int kTag = 1;

// Polls before the first nap, about 0.1 ms: enough for a small message between ranks that are both there.
constexpr int kEagerPolls = 1024;
constexpr long kFirstNapNanoseconds = 10'000;
constexpr long kLastNapNanoseconds = 500'000;
constexpr unsigned long kNapSlackNanoseconds = 1'000;  // by which the kernel may lengthen a nap: usually 50'000

// Time between polls: none at first, then naps that grow with the time already waited. What is waited too long is an
// eighth of it at most.
class Backoff {
 public:
  void pause() {
    if (polls_++ < kEagerPolls) return;
    if (polls_ == kEagerPolls + 1) prctl(PR_SET_TIMERSLACK, kNapSlackNanoseconds);
    const timespec nap{.tv_sec = 0, .tv_nsec = nap_};
    nanosleep(&nap, nullptr);
    nap_ = std::min(nap_ + nap_ / 8, kLastNapNanoseconds);
  }

 private:
  int polls_ = 0;
  long nap_ = kFirstNapNanoseconds;
};

std::string message_of(int code) {
  char text[MPI_MAX_ERROR_STRING] = {};
  int length = 0;
  MPI_Error_string(code, text, &length);
  return std::string(text, static_cast<size_t>(length));
}

// Elements in one piece of a block when every rank has such a block in the same piece.
int64_t piece_count(DType dtype, int ranks) { return std::max<int64_t>(1, kPieceBytes / size_of(dtype) / ranks); }

constexpr int64_t kRoundedWidth = size_of(DType::kBFloat16);

}  // namespace

MpiCommunicator::MpiCommunicator(MPI_Comm comm, Adopt) : comm_(comm) {
  check(MPI_Comm_set_errhandler(comm_, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
  check(MPI_Comm_rank(comm_, &rank_), "MPI_Comm_rank");
  check(MPI_Comm_size(comm_, &size_), "MPI_Comm_size");
  blocks_.resize(static_cast<size_t>(size_));
  terms_.resize(static_cast<size_t>(size_));
  if (size_ == 1) return;
  scratch_ = Storage(communicator_bytes(size_));
  requests_.reserve(2 * static_cast<size_t>(size_));
}

MpiCommunicator::MpiCommunicator(MPI_Comm comm)
    : MpiCommunicator(
          [comm] {
            MPI_Comm copy = MPI_COMM_NULL;
            if (const int code = MPI_Comm_dup(comm, &copy); code != MPI_SUCCESS)
              fail("MPI_Comm_dup: {}", message_of(code));
            return copy;
          }(),
          Adopt{}) {}

MpiCommunicator::~MpiCommunicator() {
  if (comm_ != MPI_COMM_NULL) MPI_Comm_free(&comm_);
}

void MpiCommunicator::check(int code, const char* call) const {
  if (code != MPI_SUCCESS) fail("{}: {} [rank {}/{}]", call, message_of(code), rank_, size_);
}

void MpiCommunicator::send(const void* data, int64_t bytes, int to) {
  requests_.push_back(MPI_REQUEST_NULL);
  check(MPI_Isend(data, static_cast<int>(bytes), MPI_BYTE, to, kTag, comm_, &requests_.back()), "MPI_Isend");
}

void MpiCommunicator::receive(void* data, int64_t bytes, int from) {
  requests_.push_back(MPI_REQUEST_NULL);
  check(MPI_Irecv(data, static_cast<int>(bytes), MPI_BYTE, from, kTag, comm_, &requests_.back()), "MPI_Irecv");
}

void MpiCommunicator::wait_all() {
  Backoff backoff;
  for (int done = 0;;) {
    check(MPI_Testall(static_cast<int>(requests_.size()), requests_.data(), &done, MPI_STATUSES_IGNORE), "MPI_Testall");
    if (done) break;
    backoff.pause();
  }
  requests_.clear();
}

void MpiCommunicator::all_reduce(void* data, int64_t count, DType dtype, Reduction reduction) {
  if (size_ == 1 || count == 0) return;
  if (reduces_by_gathering(count * size_of(dtype), size_)) return all_reduce_small(data, count, dtype, reduction);
  auto* bytes = static_cast<std::byte*>(data);
  const int64_t piece = kPieceBytes / size_of(dtype);
  for (int64_t begin = 0; begin < count; begin += piece)
    all_reduce_piece(bytes + begin * size_of(dtype), std::min(piece, count - begin), dtype, reduction);
}

void MpiCommunicator::gather(const void* own, std::byte* blocks, int64_t bytes) {
  requests_.push_back(MPI_REQUEST_NULL);
  check(MPI_Iallgather(own, static_cast<int>(bytes), MPI_BYTE, blocks, static_cast<int>(bytes), MPI_BYTE, comm_,
                       &requests_.back()),
        "MPI_Iallgather");
  wait_all();
}

void MpiCommunicator::all_reduce_small(void* data, int64_t count, DType dtype, Reduction reduction) {
  const int64_t bytes = count * size_of(dtype);
  gather(data, scratch(0), bytes);
  for (int r = 0; r < size_; ++r) blocks_[static_cast<size_t>(r)] = scratch(r * bytes);
  reduce_blocks(blocks_, data, count, dtype, reduction);
}

// Rank r adds the r-th share of the elements; then the shares are exchanged.
void MpiCommunicator::all_reduce_piece(std::byte* data, int64_t count, DType dtype, Reduction reduction) {
  const int64_t width = size_of(dtype);
  const auto share = [&](int r) { return data + share_begin(count, r, size_) * width; };
  const auto share_bytes = [&](int r) { return share(r + 1) - share(r); };
  const int64_t mine = share_bytes(rank_);
  for (int step = 1; step < size_; ++step)
    receive(scratch((rank_ + step) % size_ * mine), mine, (rank_ + step) % size_);
  for (int step = 1; step < size_; ++step) {
    const int to = (rank_ - step + size_) % size_;
    send(share(to), share_bytes(to), to);
  }
  wait_all();
  // The result is made where this rank's own share is, which must not be overwritten before its turn.
  for (int r = 0; r < size_; ++r) blocks_[static_cast<size_t>(r)] = scratch(r * mine);
  if (rank_ == 0)
    blocks_[0] = share(0);
  else
    std::memcpy(scratch(rank_ * mine), share(rank_), static_cast<size_t>(mine));
  reduce_blocks(blocks_, share(rank_), mine / width, dtype, reduction);
  for (int step = 1; step < size_; ++step) {
    const int from = (rank_ + step) % size_, to = (rank_ - step + size_) % size_;
    receive(share(from), share_bytes(from), from);
    send(share(rank_), mine, to);
  }
  wait_all();
}

void MpiCommunicator::reduce_scatter(const void* in, void* out, int64_t count, DType dtype, Reduction reduction) {
  const int64_t width = size_of(dtype), piece = piece_count(dtype, size_);
  const auto* blocks = static_cast<const std::byte*>(in);
  for (int64_t begin = 0; begin < count; begin += piece) {
    const int64_t elements = std::min(piece, count - begin), bytes = elements * width;
    const auto part = [&](int r) { return blocks + (r * count + begin) * width; };
    for (int step = 1; step < size_; ++step) {
      const int from = (rank_ + step) % size_, to = (rank_ - step + size_) % size_;
      receive(scratch(from * bytes), bytes, from);
      send(part(to), bytes, to);
    }
    wait_all();
    for (int r = 0; r < size_; ++r) blocks_[static_cast<size_t>(r)] = r == rank_ ? part(r) : scratch(r * bytes);
    reduce_blocks(blocks_, static_cast<std::byte*>(out) + begin * width, elements, dtype, reduction);
  }
}

void MpiCommunicator::all_reduce_rounded(float* data, int64_t count) {
  if (size_ == 1 || count == 0) return;
  if (reduces_by_gathering(count * kRoundedWidth, size_)) return all_reduce_rounded_small(data, count);
  constexpr int64_t kPiece = kRoundedPieceBytes / kRoundedWidth;
  for (int64_t begin = 0; begin < count; begin += kPiece)
    all_reduce_rounded_piece(data + begin, std::min(kPiece, count - begin));
}

// All add the same rounded terms, so that there is no sum to send, and none to round.
void MpiCommunicator::all_reduce_rounded_small(float* data, int64_t count) {
  BFloat16* own = rounded_scratch(kGatheredBytes / kRoundedWidth);
  round_to(own, data, count);
  gather(own, scratch(0), count * kRoundedWidth);
  for (int r = 0; r < size_; ++r) terms_[static_cast<size_t>(r)] = {.sent = rounded_scratch(r * count)};
  sum_terms(terms_, data, count);
}

// As all_reduce_piece, on an image of the piece as it travels; what others send of this rank's share lies behind it.
void MpiCommunicator::all_reduce_rounded_piece(float* data, int64_t count) {
  const auto first = [&](int r) { return share_begin(count, r, size_); };
  const auto image = [&](int r) { return rounded_scratch(first(r)); };
  const auto image_bytes = [&](int r) { return (first(r + 1) - first(r)) * kRoundedWidth; };
  const int64_t mine = first(rank_ + 1) - first(rank_);
  round_to(image(0), data, count);
  for (int step = 1; step < size_; ++step) {
    const int from = (rank_ + step) % size_, to = (rank_ - step + size_) % size_;
    receive(rounded_scratch(count + from * mine), mine * kRoundedWidth, from);
    send(image(to), image_bytes(to), to);
  }
  wait_all();
  float* const own = data + first(rank_);
  for (int r = 0; r < size_; ++r)
    terms_[static_cast<size_t>(r)] = r == rank_ ? Terms{.here = own} : Terms{.sent = rounded_scratch(count + r * mine)};
  sum_terms(terms_, own, mine);
  round_to(image(rank_), own, mine);
  for (int step = 1; step < size_; ++step) {
    const int from = (rank_ + step) % size_, to = (rank_ - step + size_) % size_;
    receive(image(from), image_bytes(from), from);
    send(image(rank_), image_bytes(rank_), to);
  }
  wait_all();
  widen_to(data, image(0), count);
}

void MpiCommunicator::reduce_scatter_rounded(const float* in, float* out, int64_t count) {
  const int64_t piece = piece_count(DType::kFloat32, size_);
  for (int64_t begin = 0; begin < count; begin += piece) {
    const int64_t elements = std::min(piece, count - begin), bytes = elements * kRoundedWidth;
    const auto part = [&](int r) { return in + r * count + begin; };
    const auto received = [&](int r) { return rounded_scratch((size_ + r) * elements); };
    for (int step = 1; step < size_; ++step) {
      const int from = (rank_ + step) % size_, to = (rank_ - step + size_) % size_;
      receive(received(from), bytes, from);
      round_to(rounded_scratch(to * elements), part(to), elements);
      send(rounded_scratch(to * elements), bytes, to);
    }
    wait_all();
    for (int r = 0; r < size_; ++r)
      terms_[static_cast<size_t>(r)] = r == rank_ ? Terms{.here = part(r)} : Terms{.sent = received(r)};
    sum_terms(terms_, out + begin, elements);
  }
}

void MpiCommunicator::all_gather(const void* in, void* out, int64_t count, DType dtype) {
  const int64_t width = size_of(dtype), piece = piece_count(dtype, size_);
  auto* blocks = static_cast<std::byte*>(out);
  for (int64_t begin = 0; begin < count; begin += piece) {
    const int64_t bytes = std::min(piece, count - begin) * width;
    const std::byte* part = static_cast<const std::byte*>(in) + begin * width;
    const auto place = [&](int r) { return blocks + (r * count + begin) * width; };
    for (int step = 1; step < size_; ++step) {
      receive(place((rank_ + step) % size_), bytes, (rank_ + step) % size_);
      send(part, bytes, (rank_ - step + size_) % size_);
    }
    std::memcpy(place(rank_), part, static_cast<size_t>(bytes));
    wait_all();
  }
}

void MpiCommunicator::all_to_all(const void* in, void* out, int64_t count, DType dtype) {
  const int64_t width = size_of(dtype), piece = piece_count(dtype, size_);
  for (int64_t begin = 0; begin < count; begin += piece) {
    const int64_t bytes = std::min(piece, count - begin) * width;
    const auto offset = [&](int r) { return (r * count + begin) * width; };
    for (int step = 1; step < size_; ++step) {
      const int from = (rank_ + step) % size_, to = (rank_ - step + size_) % size_;
      receive(static_cast<std::byte*>(out) + offset(from), bytes, from);
      send(static_cast<const std::byte*>(in) + offset(to), bytes, to);
    }
    std::memcpy(static_cast<std::byte*>(out) + offset(rank_), static_cast<const std::byte*>(in) + offset(rank_),
                static_cast<size_t>(bytes));
    wait_all();
  }
}

void MpiCommunicator::broadcast(void* data, int64_t bytes, int root) {
  CHECK(root >= 0 && root < size_, "broadcast from rank {} of {}", root, size_);
  if (size_ == 1) return;
  for (int64_t begin = 0; begin < bytes; begin += kPieceBytes) {
    const int length = static_cast<int>(std::min(kPieceBytes, bytes - begin));
    requests_.push_back(MPI_REQUEST_NULL);
    check(MPI_Ibcast(static_cast<std::byte*>(data) + begin, length, MPI_BYTE, root, comm_, &requests_.back()),
          "MPI_Ibcast");
    wait_all();
  }
}

void MpiCommunicator::barrier() {
  if (size_ == 1) return;
  requests_.push_back(MPI_REQUEST_NULL);
  check(MPI_Ibarrier(comm_, &requests_.back()), "MPI_Ibarrier");
  wait_all();
}

std::unique_ptr<Communicator> MpiCommunicator::split(int color, int key) {
  CHECK(color >= 0, "split by colour {}", color);
  MPI_Comm part = MPI_COMM_NULL;
  check(MPI_Comm_split(comm_, color, key, &part), "MPI_Comm_split");
  return std::unique_ptr<Communicator>(new MpiCommunicator(part, Adopt{}));
}

}  // namespace synthesizer
