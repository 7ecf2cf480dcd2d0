// Shards as `data build` never writes them: members missing or too many, other types, other contents.
#pragma once

#include <hdf5.h>

#include <cstdint>
#include <string>
#include <vector>

#include "tests/launch/wrong/wrong.h"

namespace synthesizer {

struct ForgedShard {
  std::string missing = {};   // member or attribute that is left out
  std::string stranger = {};  // data set that is added; with a leading '@' an attribute
  hid_t tokens_type = H5T_STD_U16LE;
  hid_t offsets_type = H5T_STD_U64LE;
  std::string format = "synthesizer.shard";
  int64_t version = 1;
  int64_t vocab_size = 512;
  std::vector<int32_t> tokens = {5, 6, 1, 7, 1};
  std::vector<uint64_t> offsets = {0, 3, 5};
  bool linked = false;  // /documents is a second name of /tokens
  bool chunked = true;
};

// Writes `file`; in a folder with a manifest as of the folder's tokenizer.
Preparation forge(const std::string& file, const ForgedShard& shard);

// Rewrites tokens of a shard that `data build` wrote, from element `at`.
Preparation set_tokens(const std::string& file, int64_t at, const std::vector<int32_t>& tokens);

// Makes the folder's manifest hold for the shards as they are now: sizes and checksums.
Preparation admit(const std::string& folder);

}  // namespace synthesizer
