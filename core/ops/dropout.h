// Inverted dropout (Srivastava et al., 2014): what survives is divided by the probability that it does, so evaluation
// changes nothing. What is dropped is a function of a key and of a row's number in the step's global batch: no rank
// layout drops anything else, backward is the same call on the gradient, and no mask is kept.
#pragma once
#include "core/tensor/context.h"

namespace moe {

// x (rows, d), in place: every element is dropped with probability `rate`. Row r is number first_row + r of the batch,
// or first_row + ids[r] with ids (rows) i32, for rows in another order than tokens; rows with a number below 0 stand
// for nothing and are left alone.
void dropout(Context& ctx, Tensor x, double rate, const RandomKey& key, int64_t first_row, ConstTensor ids = {});

// Likewise, but neighbours share a fate: rows [i * rows_per_draw, (i + 1) * rows_per_draw) of the global batch are
// dropped together. With a sequence's rows this is stochastic depth (Huang et al., 2016).
void drop_groups(Context& ctx, Tensor x, double rate, const RandomKey& key, int64_t first_row, int64_t rows_per_draw);

namespace cuda {  // the twins; their arguments have been checked
decltype(moe::dropout) dropout;
decltype(moe::drop_groups) drop_groups;
}  // namespace cuda

}  // namespace moe
