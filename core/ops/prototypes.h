// Each expert's mean output, as what its outputs are drawn to and others' are pushed from.
#pragma once
#include "core/tensor/context.h"

namespace moe {

// labels (rows) i32 of rows sorted by expert: the row's expert, or kIgnoreTarget where its token is padding.
// indices (tokens, k) i32, source (at least rows) i32: the slot of each row, targets (tokens) i32
void expert_labels(Context& ctx, Tensor labels, ConstTensor indices, ConstTensor source, ConstTensor targets);

// sums (experts, d) f64 of each expert's rows and counts (experts) f64 of them, of all ranks -> prototypes (experts,
// d): decay * old + (1 - decay) * mean, for experts that had rows; the mean itself for a prototype of zeros
void update_prototypes(Context& ctx, Tensor prototypes, ConstTensor sums, ConstTensor counts, double decay);

namespace cuda {  // the twins; their arguments have been checked
decltype(moe::expert_labels) expert_labels;
decltype(moe::update_prototypes) update_prototypes;
}  // namespace cuda

}  // namespace moe
