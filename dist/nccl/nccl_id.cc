#include "dist/nccl/nccl_id.h"

#include <cstring>
#include <string>
#include <system_error>
#include <thread>

#include "core/base/error.h"
#include "core/base/file.h"

namespace synthesizer {
namespace {

namespace fs = std::filesystem;

constexpr std::chrono::milliseconds kBetweenLooks{50};

NcclId make_id(const NcclLibrary& library) {
  NcclId id = {};
  if (const NcclResult result = library.api().GetUniqueId(&id); result != NcclResult::kSuccess)
    fail("[nccl] making an id: {} ({})", library.api().GetErrorString(result), library.api().GetLastError(nullptr));
  return id;
}

}  // namespace

NcclId share_id(const NcclLibrary& library, Communicator& host) {
  CHECK(host.device() == nullptr, "an id is shared through the host's memory");
  NcclId id = {};
  if (host.rank() == 0) id = make_id(library);
  host.broadcast(&id, sizeof(id), 0);
  return id;
}

NcclId share_id(const NcclLibrary& library, const fs::path& file, int rank, std::chrono::milliseconds patience) {
  if (rank == 0) {
    if (fs::exists(file))
      fail("[nccl] {} is there already: of another job, or of one that failed. Remove it", file.string());
    const NcclId id = make_id(library);
    replace_text_file(file, std::string_view(id.bytes, sizeof(id.bytes)));
    return id;
  }
  const auto end = std::chrono::steady_clock::now() + patience;
  std::error_code ignored;
  while (!fs::exists(file, ignored)) {
    if (std::chrono::steady_clock::now() >= end)
      fail("[nccl] {} has not come after {} s: rank 0 writes it on a disk that all ranks share [rank {}]",
           file.string(), std::chrono::duration_cast<std::chrono::seconds>(patience).count(), rank);
    std::this_thread::sleep_for(kBetweenLooks);
  }
  NcclId id = {};
  const std::string text = read_text_file(file);
  if (text.size() != sizeof(id.bytes))
    fail("[nccl] {}: got {} bytes, expected an id of {} [rank {}]", file.string(), text.size(), sizeof(id.bytes), rank);
  std::memcpy(id.bytes, text.data(), sizeof(id.bytes));
  return id;
}

}  // namespace synthesizer
