// Gating by independent sigmoids instead of a softmax (DeepSeek-AI, 2024: DeepSeek-V3).
#pragma once
#include <cmath>

#include "core/base/host_device.h"
#include "core/tensor/context.h"

namespace moe {

// Experts are divided into equal groups, and a token may only choose from the best `limit` groups. Groups are ranked by
// the sum of their two largest scores, ties to the smaller index. With limit == groups there is no limit.
struct GroupLimit {
  int64_t groups = 1, limit = 1;
};

// logits (tokens, experts), bias (experts) -> scores (tokens, experts) = sigmoid(logits) + bias; -inf in groups beyond
// the limit and for logits of -inf (dropped experts)
void biased_sigmoid_scores(Context& ctx, Tensor scores, ConstTensor logits, ConstTensor bias, GroupLimit limit);

// The score of a group: the sum of the two largest elements of s (n), or the only element.
template <class T>
MOE_HOST_DEVICE T group_score(const T* s, int64_t n) {
  T first = -INFINITY, second = -INFINITY;
  for (int64_t i = 0; i < n; ++i) {
    if (s[i] > first) {
      second = first;
      first = s[i];
    } else if (s[i] > second) {
      second = s[i];
    }
  }
  return n == 1 ? first : first + second;
}

struct SigmoidWeights {
  bool renormalise = true;  // divide by the sum over the chosen
  double scale = 1;         // and multiply by this
};
// weights (tokens, slots) of sigmoid(logits) at indices (tokens, slots) i32; 0 in empty slots
void sigmoid_weights_forward(Context& ctx, Tensor weights, ConstTensor logits, ConstTensor indices,
                             SigmoidWeights options);
// d_weights (tokens, slots) -> d_logits (tokens, experts), added to
void sigmoid_weights_backward(Context& ctx, Tensor d_logits, ConstTensor d_weights, ConstTensor logits,
                              ConstTensor indices, SigmoidWeights options);

// logits (tokens, experts) -> shares (tokens, experts): sigmoid(z_i) / sum_j sigmoid(z_j); 0 if the sum is 0
void sigmoid_shares_forward(Context& ctx, Tensor shares, ConstTensor logits);
// L = F(sum over scored tokens of the shares), gradient (experts) f64 = dF/dsum -> d_logits (tokens, experts), added to
void sigmoid_shares_backward(Context& ctx, Tensor d_logits, ConstTensor shares, ConstTensor logits,
                             ConstTensor gradient, ConstTensor targets);

// bias (experts) += rate * sign(mean of counts - count), counts (experts) f64 in host memory
void step_bias(Context& ctx, Tensor bias, ConstTensor counts, double rate);

namespace cuda {  // CUDA implementations; the arguments have been checked
decltype(moe::biased_sigmoid_scores) biased_sigmoid_scores;
decltype(moe::sigmoid_weights_forward) sigmoid_weights_forward;
decltype(moe::sigmoid_weights_backward) sigmoid_weights_backward;
decltype(moe::sigmoid_shares_forward) sigmoid_shares_forward;
decltype(moe::sigmoid_shares_backward) sigmoid_shares_backward;
decltype(moe::step_bias) step_bias;
}  // namespace cuda

}  // namespace moe
