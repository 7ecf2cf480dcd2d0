// The makers behind core/kernels/gemm.h.
#pragma once

#include "core/kernels/gemm.h"

namespace synthesizer {

// float32, and bfloat16 where has_bfloat16_products(). Uses up to `workspace` bytes.
std::unique_ptr<Gemm> make_onednn_gemm(const Product& product, int threads, int64_t workspace);
int64_t onednn_workspace(const Product& product, int threads);
// Of one matrix, float32 or bfloat16.
std::unique_ptr<Gemm> make_tiled_gemm(const Product& product, int threads);
int64_t tiled_workspace(const Product& product, int threads);
// Whether the machine multiplies bfloat16 (AVX512_BF16), and oneDNN may use it.
bool has_bfloat16_products();
// bfloat16 as float32, matrix by matrix: for machines without instructions for it.
std::unique_ptr<Gemm> make_converted_gemm(const Product& product, int threads);
int64_t converted_workspace(const Product& product, int threads);
std::unique_ptr<Gemm> make_openblas_gemm(const Product& product, int threads);

}  // namespace synthesizer
