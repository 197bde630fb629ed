// InfoNCE between two views of a batch's tokens. The negatives are the other tokens of the same sequence, in blocks of
// at most `block` tokens, so the loss does not depend on how the batch is split.
#pragma once
#include "core/nn/token_batch.h"
#include "core/tensor/context.h"

namespace moe {

struct InfoNceOptions {
  int64_t block = 512;
  double temperature = 1;
};

// x, x_hat (tokens, d) -> losses (tokens) in the wide dtype. Overwrites d_x, d_x_hat (tokens, d) with factor times the
// gradient of the losses' sum.
void info_nce(Context& ctx, const TokenBatch& batch, Tensor losses, Tensor d_x, Tensor d_x_hat, ConstTensor x,
              ConstTensor x_hat, const InfoNceOptions& options, double factor);

}  // namespace moe
