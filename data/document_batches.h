// Documents of many files in input order, in batches for the threads of an OrderedPipeline.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <vector>

#include "data/document_source.h"

namespace synthesizer {

// Documents of one file, one after the other. What is in it is used again by the next fill.
struct DocumentBatch {
  size_t file = 0;    // index into the list of files
  int64_t first = 0;  // number of its first document in that file
  std::vector<RawDocument> documents;
  size_t count = 0;  // of `documents`, from the front
};

// A forward cursor over the documents of some files.
class DocumentCursor {
 public:
  DocumentCursor(std::vector<std::filesystem::path> files, SourceOptions options)
      : files_(std::move(files)), options_(std::move(options)) {}

  // To document `number` of file `file`, which must not lie before the present place in the same file.
  void skip_to(size_t file, int64_t number);
  // The next documents of the present file, at most `limit`, about a batch's worth. False at the end of the file.
  bool next(DocumentBatch& batch, int64_t limit);

 private:
  std::vector<std::filesystem::path> files_;
  SourceOptions options_;
  std::optional<DocumentReader> reader_;
  size_t file_ = 0;
  int64_t number_ = 0;  // of the next document
  RawDocument skipped_;
};

}  // namespace synthesizer
