// Names to numbers, the same on every machine: XXH3-64 of the bytes.
#pragma once

#include <cstdint>
#include <string_view>

namespace synthesizer {

uint64_t hash_name(std::string_view name);

}  // namespace synthesizer
