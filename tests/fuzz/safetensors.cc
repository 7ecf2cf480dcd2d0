// A safetensors file: its length, its header, and the bytes that the header promises.
#include "core/checkpoint/safetensors.h"

#include "tests/fuzz/fuzz.h"

using namespace synthesizer;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::filesystem::path path = fuzz::write_here("fuzzed.safetensors", fuzz::text_of(data, size));
  fuzz::accepts([&] {
    const SafetensorsReader reader(path);
    std::string bytes;
    for (const StoredTensor& tensor : reader.tensors()) {
      bytes.resize(static_cast<size_t>(tensor.end - tensor.begin));
      reader.read(tensor.begin, bytes.data(), tensor.end - tensor.begin);
      fuzz::hold(&reader.at(tensor.name) == &tensor, "a tensor is found by its name");
    }
    // What was found sound can be laid out again; BF16 is never written.
    for (const StoredTensor& tensor : reader.tensors())
      if (tensor.type == StoredType::kBf16) return;
    const SafetensorsLayout layout(reader.tensors(), reader.metadata());
    fuzz::hold(layout.tensors().size() == reader.tensors().size(), "the same tensors are laid out");
  });
  return 0;
}
