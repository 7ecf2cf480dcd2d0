// The makers behind core/kernels/gemm.h.
#pragma once

#include "core/kernels/gemm.h"

namespace synthesizer {

// Uses up to `workspace` bytes.
std::unique_ptr<Gemm> make_onednn_gemm(const Product& product, int threads, int64_t workspace);
int64_t onednn_workspace(const Product& product, int threads);
// Of one matrix, float32.
std::unique_ptr<Gemm> make_tiled_gemm(const Product& product, int threads);
int64_t tiled_workspace(const Product& product, int threads);
std::unique_ptr<Gemm> make_openblas_gemm(const Product& product, int threads);

}  // namespace synthesizer
