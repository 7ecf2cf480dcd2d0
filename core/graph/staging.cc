#include "core/graph/staging.h"

#include <cstring>

namespace synthesizer {

Staging::Staging(Device& device, const std::map<ValueRef, Place>& inputs, const std::map<ValueRef, Place>& outputs)
    : device_(device) {
  const auto lay_out = [](const std::map<ValueRef, Place>& places, std::map<ValueRef, Copied>& copied) {
    int64_t bytes = 0;
    for (const auto& [ref, place] : places) {
      copied[ref] = {place, bytes};
      bytes += align_up(place.bytes);
    }
    return bytes;
  };
  const int64_t input_bytes = lay_out(inputs, inputs_);
  for (size_t i = 0; i < written_.size(); ++i) {
    written_[i] = Storage::pinned(input_bytes, device);
    taken_[i] = device.mark();
  }
  read_ = Storage::pinned(lay_out(outputs, outputs_), device);
}

std::byte* Staging::input(ValueRef ref) {
  if (given_) {  // what was written stays as it is until the device has it; what is not written anew stays the same
    const Storage& before = written_[turn_];
    turn_ = 1 - turn_;
    taken_[turn_]->wait();
    if (before.bytes() > 0) std::memcpy(written_[turn_].data(), before.data(), static_cast<size_t>(before.bytes()));
    given_ = false;
  }
  return written_[turn_].data() + inputs_.at(ref).offset;
}

void Staging::upload() {
  for (const auto& [ref, copied] : inputs_)
    device_.upload_later(copied.place.device, written_[turn_].data() + copied.offset, copied.place.bytes);
  taken_[turn_]->set();
  given_ = true;
  for (auto& [ref, copied] : outputs_) copied.there = false;
}

const std::byte* Staging::output(ValueRef ref) {
  Copied& copied = outputs_.at(ref);
  std::byte* to = read_.data() + copied.offset;
  if (!copied.there) device_.download(to, copied.place.device, copied.place.bytes);
  copied.there = true;
  return to;
}

}  // namespace synthesizer
