// Inverted dropout (Srivastava et al., 2014): kept elements are divided by the probability of being kept, so evaluation
// needs no scaling. The mask is a function of a random key and of a row's number in the step's global batch. It does
// not depend on the rank layout, it is not stored, and backward is the same call on the gradient.
#pragma once
#include "core/tensor/context.h"

namespace moe {

// x (rows, d), in place: every element is dropped with probability `rate`. Row r has number first_row + r in the batch,
// or first_row + ids[r] with ids (rows) i32 for rows in another order than tokens. Rows with a negative number are
// unused and not touched.
void dropout(Context& ctx, Tensor x, double rate, const RandomKey& key, int64_t first_row, ConstTensor ids = {});

// The same with one draw for consecutive rows: rows [i * rows_per_draw, (i + 1) * rows_per_draw) of the global batch
// are dropped together. With a sequence's rows this is stochastic depth (Huang et al., 2016).
void drop_groups(Context& ctx, Tensor x, double rate, const RandomKey& key, int64_t first_row, int64_t rows_per_draw);

namespace cuda {  // CUDA implementations; the arguments have been checked
decltype(moe::dropout) dropout;
decltype(moe::drop_groups) drop_groups;
}  // namespace cuda

}  // namespace moe
