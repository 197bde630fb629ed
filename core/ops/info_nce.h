// The loss of InfoNCE (van den Oord et al., 2018) between two views of the same tokens: the cross-entropy of each row
// of their products, whose right answer is on the diagonal.
#pragma once
#include "core/tensor/context.h"

namespace moe {

// a (n, n): products of n anchors with n candidates -> the sum over anchors m of -ln softmax(a[m] / temperature)[m].
// Tokens that are padding by targets (n) i32 are neither anchors nor candidates. With `factor` != 0, a is overwritten
// by factor times the gradient.
double diagonal_cross_entropy(Context& ctx, Tensor a, double temperature, double factor, ConstTensor targets);

}  // namespace moe
