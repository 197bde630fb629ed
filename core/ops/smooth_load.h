// The smooth load of noisy top-k gating: the probability that an expert is among a token's k when the noise of this
// expert is drawn again (Shazeer et al., 2017, equations 8 to 10).
#pragma once
#include "core/tensor/context.h"

namespace moe {

// clean, noisy, deviation (tokens, experts), indices (tokens, slots) i32, whose number of filled slots is k -> sums
// (experts) f64, added to: the sum over tokens of Phi((clean_i - T_i) / deviation_i) where T_i is the k-th largest
// noisy logit of the other experts; 1 if all experts are chosen. Padding is excluded.
void smooth_load_sums(Context& ctx, Tensor sums, ConstTensor clean, ConstTensor noisy, ConstTensor deviation,
                      ConstTensor indices, ConstTensor targets);
// gradient (experts) f64 = dL/dsums -> d_noisy, d_deviation (tokens, experts), added to: the gradients with respect to
// the noisy logits, and to the deviations for fixed noisy logits (clean = noisy - deviation * noise)
void smooth_load_backward(Context& ctx, Tensor d_noisy, Tensor d_deviation, ConstTensor clean, ConstTensor noisy,
                          ConstTensor deviation, ConstTensor indices, ConstTensor gradient, ConstTensor targets);

namespace cuda {  // CUDA implementations; the arguments have been checked
decltype(moe::smooth_load_sums) smooth_load_sums;
decltype(moe::smooth_load_backward) smooth_load_backward;
}  // namespace cuda

}  // namespace moe
