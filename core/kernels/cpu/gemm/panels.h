// How products by panels (micro/micro.h) are cut, and what they need.
#pragma once

#include "core/kernels/cpu/gemm/micro/micro.h"
#include "core/kernels/gemm.h"

namespace synthesizer {

// The tiles for products of this type on this machine; null: there are none.
const micro::Functions* panel_functions(DType dtype);

// Whether a product goes by panels: its type does on this machine, and it is not so narrow that tiles stay half empty.
bool goes_by_panels(const Product& product);
std::unique_ptr<Gemm> make_panel_gemm(const Product& product, int threads);
int64_t panel_workspace(const Product& product, int threads);
int64_t panel_prepared_bytes(const Product& product);
// Of every product of no more rows, columns and depth.
int64_t panel_workspace_up_to(const Product& product, int threads);

}  // namespace synthesizer
