// Softmax cross-entropy with the gradient in place of the logits.
#pragma once
#include "core/base/token.h"
#include "core/tensor/context.h"

namespace moe {

// What else may go in and come out, all (tokens) and of the losses' dtype.
struct CrossEntropyExtras {
  ConstTensor weights{};  // multiply each token's gradient; its loss stays as it is
  Tensor entropy{};       // of the softmax, nats; 0 where ignored
  Tensor residual{};  // the Euclidean norm of softmax - onehot; 0 where ignored. Together with `entropy` or not at all
  // Label smoothing: what training pushes to has 1 - smoothing + smoothing / vocab at the target, smoothing / vocab
  // elsewhere. The gradient is that of the cross-entropy with it; losses and statistics stay those of the target.
  double smoothing = 0;
};

// logits (tokens, vocab), targets (tokens) i32 -> losses (tokens): -ln p(target), 0 where ignored;
// correct (tokens) i32, optional: whether the target has the largest logit (ties to the smaller id).
// With `gradient_scale` != 0 the logits are overwritten by gradient_scale * (softmax - onehot), onehot smoothed. The
// extras cost no further pass over the logits.
void cross_entropy(Context& ctx, Tensor losses, Tensor correct, Tensor logits, ConstTensor targets,
                   double gradient_scale, const CrossEntropyExtras& extras = {});

struct LossSums {
  double loss = 0;    // nats
  double tokens = 0;  // scored
  double correct = 0;
};
// losses (tokens), correct (tokens) i32, targets (tokens) i32 -> their sums over scored tokens, in f64, in order
LossSums loss_sums(Context& ctx, ConstTensor losses, ConstTensor correct, ConstTensor targets);

namespace cuda {  // the twins; their arguments have been checked
decltype(moe::cross_entropy) cross_entropy;
decltype(moe::loss_sums) loss_sums;
}  // namespace cuda

}  // namespace moe
