// Text to be built into shards: the same bytes as lines of JSON, as lines of text, as one document, and as gzip.
#include <fstream>

#include "data/document_source.h"
#include "data/utf8.h"
#include "tests/fuzz/fuzz.h"

using namespace synthesizer;

namespace {

void read_all(const std::filesystem::path& path, const SourceOptions& options) {
  DocumentReader reader(path, options);
  RawDocument raw;
  while (reader.next(raw)) {
    // A document that is refused ends a build; the ones after it are read here all the same.
    fuzz::accepts([&] {
      const std::string text = parse_document(path, options, RawDocument(raw));
      fuzz::hold(!find_invalid_utf8(text), "a document's text is UTF-8");
    });
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  for (const char* name : {"text.jsonl", "text.txt", "text.json.gz"}) {
    const std::filesystem::path path = fuzz::write_here(name, fuzz::text_of(data, size));
    for (const TextUnit unit : {TextUnit::kLine, TextUnit::kFile})
      fuzz::accepts([&] { read_all(path, {.text_unit = unit}); });
  }
  return 0;
}
