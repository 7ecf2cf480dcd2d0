#include "tests/launch/wrong/edited_checkpoint.h"

#include <fcntl.h>

#include "core/base/file.h"
#include "core/checkpoint/checksum.h"
#include "core/checkpoint/state.h"

namespace synthesizer {
namespace {

namespace fs = std::filesystem;

void write_model(const fs::path& file, const EditedTensors& tensors) {
  std::vector<StoredTensor> stored;
  for (const auto& [name, tensor] : tensors)
    stored.push_back({.name = name, .type = tensor.type, .shape = tensor.shape});
  const SafetensorsLayout layout(std::move(stored), {{"format", "pt"}});
  const File out(file, O_WRONLY | O_CREAT | O_TRUNC);
  out.append(layout.header());
  for (const StoredTensor& tensor : layout.tensors()) {
    const std::string& bytes = tensors.at(tensor.name).bytes;
    out.write_at(tensor.begin, bytes.data(), tensor.end - tensor.begin);
  }
}

}  // namespace

Preparation edit_model(const std::string& checkpoint, const std::function<void(EditedTensors&)>& edit) {
  return [=](const fs::path& place) {
    const fs::path folder = place / checkpoint;
    const fs::path model = folder / file_name(CheckpointPart::kModel);
    EditedTensors tensors;
    {
      const SafetensorsReader reader(model);
      for (const StoredTensor& tensor : reader.tensors()) {
        EditedTensor& copy = tensors[tensor.name];
        copy = {tensor.type, tensor.shape, std::string(static_cast<size_t>(tensor.end - tensor.begin), '\0')};
        reader.read(tensor.begin, copy.bytes.data(), tensor.end - tensor.begin);
      }
    }
    edit(tensors);
    write_model(model, tensors);

    ChecksumPlan plan;
    for (const CheckpointPart part : kCheckpointParts) {
      const SafetensorsReader reader(folder / file_name(part));
      plan.add_file(part, reader.data_offset(), reader.tensors());
    }
    CheckpointState state;
    CheckpointChecksums sums;
    state_from_text(read_text_file(folder / "state.json"), folder / "state.json", state, sums);
    replace_text_file(folder / "state.json", state_to_text(state, plan.combine(plan.hash_share(folder, 0, 1))));
  };
}

}  // namespace synthesizer
