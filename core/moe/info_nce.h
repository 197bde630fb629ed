// InfoNCE between two views of a batch's tokens. The other tokens of the same sequence are the negatives, in blocks of
// at most `block` tokens, so that no split of the batch changes the loss.
#pragma once
#include "core/nn/token_batch.h"
#include "core/tensor/context.h"

namespace moe {

struct InfoNceOptions {
  int64_t block = 512;
  double temperature = 1;
};

// x, x_hat (tokens, d) -> losses (tokens) wide; d_x, d_x_hat (tokens, d), overwritten: factor times the gradient of
// their sum
void info_nce(Context& ctx, const TokenBatch& batch, Tensor losses, Tensor d_x, Tensor d_x_hat, ConstTensor x,
              ConstTensor x_hat, const InfoNceOptions& options, double factor);

}  // namespace moe
