// The grouped products by Hopper's own instructions, beside the portable ones (grouped_gemm.cu), which they equal but
// for the order of sums.
#pragma once
#include <initializer_list>

#include "core/ops/activation.h"
#include "cuda/ops/row_tiles.h"

namespace moe::cuda::sm90 {

// Whether these kernels take a product of bf16 operands whose rows are `widths` elements long: on a device of
// capability 9.0 (Queue::hopper), where all rows begin at 16-byte boundaries, which the copy engine asks for.
bool takes_grouped_gemm(const Context& ctx, DType dtype, std::initializer_list<int64_t> widths,
                        std::initializer_list<const void*> pointers);

// Of c = a W_e^T (forward) or a W_e (input), the rows that `tiles`, of at most kTileRows, name.
inline constexpr int kTileRows = 128;
void grouped_gemm_forward(Context& ctx, Tensor c, ConstTensor a, ConstTensor weight, const RowTiles& tiles);
void grouped_gemm_input(Context& ctx, Tensor c, ConstTensor a, ConstTensor weight, const RowTiles& tiles);
// z = a W_e^T and activated = activation(z), of z as it is stored
void grouped_gemm_activate(Context& ctx, Tensor activated, Tensor z, ConstTensor a, ConstTensor weight,
                           const RowTiles& tiles, Activation activation);
// d_weight[e] (+)= d_y^T x over expert e's rows
void grouped_gemm_weight(Context& ctx, Tensor d_weight, ConstTensor d_y, ConstTensor x, ConstTensor offsets,
                         bool accumulate);

}  // namespace moe::cuda::sm90
