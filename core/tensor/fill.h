// Initial values by dtype: core/base/random.h, whose values they are, does not know dtypes.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "core/base/random.h"
#include "core/tensor/dtype.h"

namespace synthesizer {

// As the typed fill_initial. Integer tensors only take constants that they can hold; anything else throws Error.
void fill_initial(const Initializer& initializer, uint64_t seed, std::string_view name,
                  std::span<const int64_t> whole_shape, std::span<const int64_t> begins, std::span<const int64_t> sizes,
                  DType dtype, void* out);

}  // namespace synthesizer
