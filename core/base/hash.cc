#include "core/base/hash.h"

#include <xxhash.h>

namespace synthesizer {

uint64_t hash_name(std::string_view name) { return XXH3_64bits(name.data(), name.size()); }

}  // namespace synthesizer
