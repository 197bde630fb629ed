// Grouped GEMM by Hopper's own instructions. The results equal those of the portable kernels (grouped_gemm.cu) except
// for the order of sums.
#pragma once
#include <initializer_list>

#include "core/ops/activation.h"
#include "cuda/ops/row_tiles.h"

namespace moe::cuda::sm90 {

// Whether these kernels support a product of bf16 operands whose rows are `widths` elements long: on a device of
// capability 9.0 (Queue::hopper), where all rows start at 16-byte boundaries, as the copy engine requires.
bool takes_grouped_gemm(const Context& ctx, DType dtype, std::initializer_list<int64_t> widths,
                        std::initializer_list<const void*> pointers);

// Computes the rows of c = a W_e^T (forward) or a W_e (input) that `tiles` lists; a tile has at most kTileRows rows.
inline constexpr int kTileRows = 128;
void grouped_gemm_forward(Context& ctx, Tensor c, ConstTensor a, ConstTensor weight, const RowTiles& tiles);
void grouped_gemm_input(Context& ctx, Tensor c, ConstTensor a, ConstTensor weight, const RowTiles& tiles);
// z = a W_e^T and activated = activation(z), computed from z as it is stored
void grouped_gemm_activate(Context& ctx, Tensor activated, Tensor z, ConstTensor a, ConstTensor weight,
                           const RowTiles& tiles, Activation activation);
// d_weight[e] (+)= d_y^T x over expert e's rows
void grouped_gemm_weight(Context& ctx, Tensor d_weight, ConstTensor d_y, ConstTensor x, ConstTensor offsets,
                         bool accumulate);

}  // namespace moe::cuda::sm90
