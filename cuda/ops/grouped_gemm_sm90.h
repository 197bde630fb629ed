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

// The ops of core/ops/grouped_gemm.h, for the rows that `tiles` lists; a tile has at most kTileRows rows.
inline constexpr int kTileRows = 128;
void grouped_gemm_forward(Context& ctx, Tensor y, ConstTensor x, ConstTensor weight, const RowTiles& tiles);
// y is computed from z as it is stored.
void grouped_gemm_activate_forward(Context& ctx, Tensor y, Tensor z, ConstTensor x, ConstTensor weight,
                                   const RowTiles& tiles, Activation activation);
void grouped_gemm_backward_input(Context& ctx, Tensor d_x, ConstTensor d_y, ConstTensor weight, const RowTiles& tiles);
void grouped_gemm_backward_weight(Context& ctx, Tensor d_weight, ConstTensor d_y, ConstTensor x, ConstTensor offsets,
                                  bool accumulate);

}  // namespace moe::cuda::sm90
