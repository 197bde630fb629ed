// Ops with one row per sequence that applies to all of its tokens.
#pragma once
#include "core/tensor/context.h"

namespace moe {

// y (sequences * time, n) += the row of rows (sequences, n) that belongs to the token's sequence
void add_sequence_rows(Context& ctx, Tensor y, ConstTensor rows);
// y (sequences * time, n) -> sums (sequences, n) over each sequence's tokens, overwritten
void sum_sequence_rows(Context& ctx, Tensor sums, ConstTensor y);
// ids (n) i32, or none, which means zeros -> clamped (n) i32 = min(id, bound - 1)
void clamp_ids(Context& ctx, Tensor clamped, ConstTensor ids, int64_t bound);

namespace cuda {  // CUDA implementations; the arguments have been checked
decltype(moe::add_sequence_rows) add_sequence_rows;
decltype(moe::sum_sequence_rows) sum_sequence_rows;
decltype(moe::clamp_ids) clamp_ids;
}  // namespace cuda

}  // namespace moe
