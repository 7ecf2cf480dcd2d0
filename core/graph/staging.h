// The host's side of a program whose memory is a device's: where its inputs are written and its outputs read.
#pragma once

#include <array>
#include <cstddef>
#include <map>
#include <memory>
#include <vector>

#include "core/graph/value.h"
#include "core/tensor/device.h"
#include "core/tensor/storage.h"

namespace synthesizer {

// Inputs have two places, in turn: those of the next run can be written while one is under way.
class Staging {
 public:
  // Of a value: where it lies on the device.
  struct Place {
    std::byte* device;
    int64_t bytes;
  };
  // The device outlives it.
  Staging(Device& device, const std::map<ValueRef, Place>& inputs, const std::map<ValueRef, Place>& outputs);

  // An input, as it was last written, to write for the next run; waits for the run before the last one.
  std::byte* input(ValueRef ref);
  // Gives the inputs to the device, before what it is given to run.
  void upload();
  // An output of the last run, which it waits for.
  const std::byte* output(ValueRef ref);

 private:
  struct Copied {
    Place place;
    int64_t offset;      // on the host
    bool there = false;  // an output of the last run
  };

  Device& device_;
  std::map<ValueRef, Copied> inputs_, outputs_;
  std::array<Storage, 2> written_;
  std::array<std::unique_ptr<Mark>, 2> taken_;  // by the device
  size_t turn_ = 0;
  bool given_ = false;  // inputs of this turn, to the device
  Storage read_;
};

}  // namespace synthesizer
