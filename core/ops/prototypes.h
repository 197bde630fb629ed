// Each expert's mean output, as what its outputs are drawn to and others' are pushed from.
#pragma once
#include "core/tensor/context.h"

namespace moe {

// labels (rows) i32 of rows sorted by expert: the row's expert, or kIgnoreTarget where its token is padding.
// indices (tokens, k) i32, source (at least rows) i32: the slot of each row, targets (tokens) i32
void expert_labels(Context& ctx, Tensor labels, ConstTensor indices, ConstTensor source, ConstTensor targets);

// rows (num_rows, d), labels (num_rows) i32 -> sums (experts, d + 1) f64, added to: of each expert's rows, and their
// number
void labelled_sums(Context& ctx, Tensor sums, ConstTensor rows, ConstTensor labels);

// sums (experts, d + 1) f64 of all ranks -> prototypes (experts, d): decay * old + (1 - decay) * mean, for experts that
// had rows; the mean itself for a prototype of zeros
void update_prototypes(Context& ctx, Tensor prototypes, ConstTensor sums, double decay);

}  // namespace moe
