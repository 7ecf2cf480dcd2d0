// The two makers behind core/kernels/gemm.h.
#pragma once

#include "core/kernels/gemm.h"

namespace synthesizer {

// Uses up to `workspace` bytes.
std::unique_ptr<Gemm> make_onednn_gemm(const Product& product, int threads, int64_t workspace);
std::unique_ptr<Gemm> make_openblas_gemm(const Product& product, int threads);

}  // namespace synthesizer
