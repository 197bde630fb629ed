// Prototypes: each expert's mean output, towards which its outputs are pulled and from which those of others are pushed
// away.
#pragma once
#include "core/tensor/context.h"

namespace moe {

// Computes labels (rows) i32 of rows sorted by expert: the row's expert, or kIgnoreTarget if its token is padding.
// indices (tokens, k) i32, source (at least rows) i32: the slot of each row, targets (tokens) i32
void expert_labels(Context& ctx, Tensor labels, ConstTensor indices, ConstTensor source, ConstTensor targets);

// sums (experts, d) f64 and counts (experts) f64 of each expert's rows, over all ranks -> prototypes (experts, d):
// decay * old + (1 - decay) * mean for experts that had rows; a prototype of zeros is set to the mean
void update_prototypes(Context& ctx, Tensor prototypes, ConstTensor sums, ConstTensor counts, double decay);

namespace cuda {  // CUDA implementations; the arguments have been checked
decltype(moe::expert_labels) expert_labels;
decltype(moe::update_prototypes) update_prototypes;
}  // namespace cuda

}  // namespace moe
