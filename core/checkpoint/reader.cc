#include "core/checkpoint/reader.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <utility>

#include "core/base/error.h"
#include "core/checkpoint/checksum.h"
#include "core/checkpoint/folder.h"
#include "core/graph/agreement.h"

namespace synthesizer {
namespace {

namespace fs = std::filesystem;

bool is_floating(StoredType type) {
  return type == StoredType::kF32 || type == StoredType::kF64 || type == StoredType::kBf16;
}

bool convertible(StoredType from, DType to) {
  return from == stored_type(to) || (is_floating(from) && is_floating(to));
}

// Elements [begin, begin + count) of a stored tensor, converted, to out.
void read_converted(const SafetensorsReader& file, const StoredTensor& tensor, int64_t begin, int64_t count,
                    DType dtype, std::byte* out) {
  if (dtype == DType::kFloat32) file.read_elements(tensor, begin, count, reinterpret_cast<float*>(out));
  if (dtype == DType::kFloat64) file.read_elements(tensor, begin, count, reinterpret_cast<double*>(out));
}

std::string sum_text(uint64_t sum) { return fmt::format("{:016x}", sum); }

// What was probably meant by a path that is no checkpoint: the newest of the run that it is, or that it lies in.
std::string nearest_checkpoint(const fs::path& path) {
  for (const fs::path& folder : {path, path / "checkpoints", path.parent_path(), path.parent_path() / "checkpoints",
                                 path.parent_path().parent_path()}) {
    const auto found = CheckpointFolder{folder}.list();  // by step
    for (auto newest = found.rbegin(); newest != found.rend(); ++newest)
      if (fs::exists(newest->second / "state.json")) return fmt::format("; did you mean {}?", newest->second.string());
  }
  return ", expected a folder such as RUN/checkpoints/step_00001000";
}

// The tensors that state.json has checksums of must be those of the file.
void check_names(const SafetensorsReader& file, const FileChecksums& sums) {
  for (const auto& [name, sum] : sums.tensors)
    if (file.find(name) == nullptr)
      fail_usage("{}: no tensor {}, which state.json has a checksum of", file.path().string(), name);
  for (const StoredTensor& tensor : file.tensors())
    if (!sums.tensors.contains(tensor.name))
      fail_usage("{}: state.json has no checksum of tensor {}", file.path().string(), tensor.name);
}

}  // namespace

CheckpointReader::CheckpointReader(const fs::path& folder) : folder_(folder) {
  if (!fs::is_directory(folder)) fail_usage("{}: no such checkpoint{}", folder.string(), nearest_checkpoint(folder));
  const fs::path state = folder / "state.json";
  if (!fs::is_regular_file(state))
    fail_usage("{}: no state.json in it; it is torn, or is not a checkpoint{}", folder.string(),
               nearest_checkpoint(folder));
  state_from_text(read_input_file(state), state, state_, checksums_);
  for (const CheckpointPart part : kCheckpointParts) {
    files_.emplace_back(folder / file_name(part));
    check_names(files_.back(), checksums_.at(part));
  }
}

void CheckpointReader::verify(Communicator& world) const {
  ChecksumPlan plan;
  for (const CheckpointPart part : kCheckpointParts)
    plan.add_file(part, file(part).data_offset(), file(part).tensors());
  std::vector<int64_t> hashes;
  run_together(world, [&] {
    try {
      // Through the files that are open: another file put in their place would not be the one that is read later.
      hashes = plan.hash_share([this](CheckpointPart part, int64_t offset, void* out,
                                      int64_t bytes) { file(part).read(offset, out, bytes); },
                               world.rank(), world.size());
    } catch (const Error& error) {
      fail_usage("{}: it cannot be read whole ({})", folder_.string(), error.what());
    }
  });
  world.all_reduce(hashes.data(), static_cast<int64_t>(hashes.size()), DType::kInt64, Reduction::kSum);
  const CheckpointChecksums found = plan.combine(hashes);
  for (const CheckpointPart part : kCheckpointParts) {
    const FileChecksums& expected = checksums_.at(part);
    const std::string name = file(part).path().string();
    for (const auto& [tensor, sum] : found.at(part).tensors)
      if (sum != expected.tensors.at(tensor))
        fail_usage("{}: tensor {} is altered: checksum {}, expected {}", name, tensor, sum_text(sum),
                   sum_text(expected.tensors.at(tensor)));
    if (found.at(part).header != expected.header)
      fail_usage("{}: the header is altered: checksum {}, expected {}", name, sum_text(found.at(part).header),
                 sum_text(expected.header));
  }
}

uint64_t CheckpointReader::checksum(CheckpointPart part, const std::string& tensor) const {
  return checksums_.at(part).tensors.at(tensor);
}

void CheckpointReader::expect(CheckpointPart part, std::span<const TensorBox> boxes) const {
  std::map<std::string, const TensorBox*> wanted;
  for (const TensorBox& box : boxes) wanted[box.name] = &box;
  std::vector<std::string> wrong;
  for (const auto& [name, box] : wanted) {
    const StoredTensor* tensor = file(part).find(name);
    if (tensor == nullptr) {
      wrong.push_back(fmt::format("{} is missing", name));
    } else if (tensor->shape != box->whole_shape) {
      wrong.push_back(
          fmt::format("{} has shape {}, expected {}", name, shape_text(tensor->shape), shape_text(box->whole_shape)));
    } else if (!convertible(tensor->type, box->dtype)) {
      wrong.push_back(fmt::format("{} is {}, expected {}", name, to_string(tensor->type), to_string(box->dtype)));
    }
  }
  for (const StoredTensor& tensor : file(part).tensors())
    if (!wanted.contains(tensor.name)) wrong.push_back(fmt::format("{} is not of this model", tensor.name));
  if (!wrong.empty())
    fail_usage("{}: not the tensors of this configuration: {}", file(part).path().string(), fmt::join(wrong, "; "));
}

void CheckpointReader::read(CheckpointPart part, const TensorBox& box, void* out) const {
  const StoredTensor& tensor = file(part).at(box.name);
  const std::string path = file(part).path().string();
  if (tensor.shape != box.whole_shape)
    fail_usage("{}: tensor {} has shape {}, expected {}", path, box.name, shape_text(tensor.shape),
               shape_text(box.whole_shape));
  if (!convertible(tensor.type, box.dtype))
    fail_usage("{}: tensor {} is {}, expected {}", path, box.name, to_string(tensor.type), to_string(box.dtype));
  const bool same = tensor.type == stored_type(box.dtype);
  const int64_t width = size_of(box.dtype);
  for_each_run(box, [&](int64_t whole, int64_t offset, int64_t count) {
    std::byte* to = static_cast<std::byte*>(out) + offset * width;
    if (same) {
      file(part).read(tensor.begin + whole * width, to, count * width);
    } else {
      read_converted(file(part), tensor, whole, count, box.dtype, to);
    }
  });
}

NewestCheckpoint find_newest_checkpoint(const fs::path& checkpoints, Communicator& world) {
  const CheckpointFolder folder{checkpoints};
  std::vector<int64_t> steps;
  run_on_first(world, [&] {
    for (const auto& [step, path] : folder.list()) steps.push_back(step);
  });
  auto count = static_cast<int64_t>(steps.size());
  world.broadcast(&count, sizeof count, 0);
  steps.resize(static_cast<size_t>(count));
  if (count > 0) world.broadcast(steps.data(), count * static_cast<int64_t>(sizeof(int64_t)), 0);

  NewestCheckpoint newest;
  for (auto step = steps.rbegin(); step != steps.rend(); ++step) {
    try {
      std::optional<CheckpointReader> reader;
      run_together(world, [&] { reader.emplace(folder.final_path(*step)); });
      reader->verify(world);
      newest.folder = folder.final_path(*step);
      return newest;
    } catch (const UsageError& error) {
      newest.refused.push_back(error.what());
    }
  }
  return newest;
}

}  // namespace synthesizer
