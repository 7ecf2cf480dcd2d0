#include "data/document_batches.h"

#include <algorithm>

#include "core/base/error.h"

namespace synthesizer {
namespace {

// Enough work for a thread that handing it over costs nothing, little enough that all batches together are small.
constexpr size_t kBatchDocuments = 64;
constexpr size_t kBatchBytes = 1 << 19;

}  // namespace

void DocumentCursor::skip_to(size_t file, int64_t number) {
  if (!reader_ || file != file_ || number < number_) {
    reader_.emplace(files_.at(file), options_);
    file_ = file;
    number_ = 0;
  }
  for (; number_ < number; ++number_) {
    if (!reader_->next(skipped_)) {
      fail_usage("input {} changed while it was read: it ends after {} documents", files_[file].string(), number_);
    }
  }
}

bool DocumentCursor::next(DocumentBatch& batch, int64_t limit) {
  CHECK(reader_.has_value(), "skip_to comes first");
  batch.file = file_;
  batch.first = number_;
  batch.count = 0;
  size_t bytes = 0;
  while (batch.count < kBatchDocuments && bytes < kBatchBytes && static_cast<int64_t>(batch.count) < limit) {
    if (batch.count == batch.documents.size()) batch.documents.emplace_back();
    if (!reader_->next(batch.documents[batch.count])) break;
    bytes += batch.documents[batch.count++].bytes.size();
  }
  number_ += static_cast<int64_t>(batch.count);
  return batch.count > 0;
}

}  // namespace synthesizer
