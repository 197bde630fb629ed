// Softmax cross-entropy whose gradient overwrites the logits.
#pragma once
#include "core/base/token.h"
#include "core/tensor/context.h"

namespace moe {

// Optional inputs and outputs, all (tokens) and in the losses' dtype.
struct CrossEntropyExtras {
  ConstTensor weights{};  // factors on each token's gradient; its loss stays unchanged
  Tensor entropy{};       // entropy of the softmax, nats; 0 for ignored targets
  Tensor residual{};      // Euclidean norm of softmax - onehot; 0 for ignored targets. Given exactly if `entropy` is
  // Label smoothing: the training target has probability 1 - smoothing + smoothing / vocab for the target, smoothing /
  // vocab elsewhere. Only the gradient uses it; losses and statistics are computed from the unsmoothed target.
  double smoothing = 0;
};

// logits (tokens, vocab), targets (tokens) i32 -> losses (tokens): -ln p(target), 0 for ignored targets; correct
// (tokens) i32, optional: whether the target has the largest logit (ties to the smaller id).
// With `gradient_scale` != 0 the logits are overwritten by gradient_scale * (softmax - onehot), where onehot is
// smoothed. The extras need no additional pass over the logits.
void cross_entropy(Context& ctx, Tensor losses, Tensor correct, Tensor logits, ConstTensor targets,
                   double gradient_scale, const CrossEntropyExtras& extras = {});

struct LossSums {
  double loss = 0;    // nats
  double tokens = 0;  // scored tokens
  double correct = 0;
};
// losses (tokens), correct (tokens) i32, targets (tokens) i32 -> their sums over scored tokens, in f64, in order
LossSums loss_sums(Context& ctx, ConstTensor losses, ConstTensor correct, ConstTensor targets);

namespace cuda {  // CUDA implementations; the arguments have been checked
decltype(moe::cross_entropy) cross_entropy;
decltype(moe::loss_sums) loss_sums;
}  // namespace cuda

}  // namespace moe
