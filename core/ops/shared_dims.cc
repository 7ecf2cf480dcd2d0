#include "core/ops/shared_dims.h"

#include "core/base/error.h"
#include "core/ops/contract.h"

namespace synthesizer {

SharedDims::SharedDims(std::string_view op, std::string_view what, const ValueType& weights, const ValueType& values) {
  expect_floating(op, "values", values);
  expect_type(op, what, weights, {compute_type(values.dtype), weights.shape});
  if (weights.shape.rank() != 3)
    fail("[{}] {}: got {}, expected [heads, length, memory_length]", op, what, describe(weights));
  heads = weights.shape.dims()[0];
  query = weights.shape.dims()[1];
  key = weights.shape.dims()[2];
  const std::vector<Dim>& dims = values.shape.dims();
  if (dims.size() != 4 || dims[1] != key || dims[2] != heads)
    fail("[{}] values: got {}, expected [batch, {} {}, {} {}, head]", op, describe(values), key.name, key.size,
         heads.name, heads.size);
  batch = dims[0];
  head = dims[3];
}

}  // namespace synthesizer
