// The InfoNCE loss (van den Oord et al., 2018) between two views of the same tokens: the cross-entropy of each row of
// the matrix of their products, with the diagonal as the target.
#pragma once
#include "core/tensor/context.h"

namespace moe {

// a (n, n): products of n anchors with n candidates -> losses (n) = -ln softmax(a[m] / temperature)[m] for each anchor
// m. Tokens that targets (n) i32 mark as padding are neither anchors nor candidates; their loss is 0. With `factor` !=
// 0, a is overwritten by factor times the gradient of the sum of the losses.
void diagonal_cross_entropy(Context& ctx, Tensor losses, Tensor a, double temperature, double factor,
                            ConstTensor targets);

namespace cuda {  // CUDA implementations; the arguments have been checked
decltype(moe::diagonal_cross_entropy) diagonal_cross_entropy;
}  // namespace cuda

}  // namespace moe
