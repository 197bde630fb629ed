// The pieces of InfoNCE (van den Oord et al., 2018) between two views of the same tokens: rows of unit length, and the
// cross-entropy of each row of their products, whose right answer is on the diagonal.
#pragma once
#include "core/tensor/context.h"

namespace moe {

// x (rows, d) -> y (rows, d) of unit length and norms (rows); a row of zeros stays zero
void normalise_rows_forward(Context& ctx, Tensor y, Tensor norms, ConstTensor x);
// d_y (rows, d) -> d_x (rows, d), overwritten; zero for a row of zeros
void normalise_rows_backward(Context& ctx, Tensor d_x, ConstTensor d_y, ConstTensor y, ConstTensor norms);

// a (n, n): products of n anchors with n candidates -> the sum over anchors m of -ln softmax(a[m] / temperature)[m].
// Tokens that are padding by targets (n) i32 are neither anchors nor candidates. With `factor` != 0, a is overwritten
// by factor times the gradient.
double diagonal_cross_entropy(Context& ctx, Tensor a, double temperature, double factor, ConstTensor targets);

}  // namespace moe
