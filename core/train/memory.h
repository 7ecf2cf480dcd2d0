// Memory of this process, as the system counts it.
#pragma once

#include <cstdint>

namespace synthesizer {

// Peak resident set, bytes.
int64_t peak_resident_bytes();

}  // namespace synthesizer
