// RMS normalisation of each query and key head separately (per-head q/k norm, as in Qwen3); values are copied
// unchanged.
#pragma once
#include "core/ops/attention_layout.h"
#include "core/tensor/context.h"

namespace moe {

// x (tokens, layout.width()), q_weight and k_weight (d_head) -> y like x, inverse_rms (tokens, heads + kv_heads)
void qk_norm_forward(Context& ctx, Tensor y, Tensor inverse_rms, ConstTensor x, ConstTensor q_weight,
                     ConstTensor k_weight, const AttentionLayout& layout, double eps);
// d_qkv: the gradient of y on entry, of x on return; d_q_weight and d_k_weight are added to
void qk_norm_backward(Context& ctx, Tensor d_qkv, Tensor d_q_weight, Tensor d_k_weight, ConstTensor x,
                      ConstTensor q_weight, ConstTensor k_weight, ConstTensor inverse_rms,
                      const AttentionLayout& layout);

namespace cuda {  // CUDA implementations; the arguments have been checked
decltype(moe::qk_norm_forward) qk_norm_forward;
decltype(moe::qk_norm_backward) qk_norm_backward;
}  // namespace cuda

}  // namespace moe
