// RMS normalisation of queries and keys; values are copied unchanged. Weights as wide as a head normalise each head
// separately (as in Qwen3). Weights as wide as all heads normalise the whole query and the whole key of a token (as in
// OLMoE).
#pragma once
#include "core/base/host_device.h"
#include "core/ops/attention_layout.h"
#include "core/tensor/context.h"

namespace moe {

// The spans of columns that are normalised in a row: those of the queries, then those of the keys.
struct QkNormSpans {
  int64_t queries, keys;           // number of spans
  int64_t query_width, key_width;  // columns of a span
  // `q_weight_width`: the number of elements of the weight of queries, d_head or heads * d_head.
  static QkNormSpans of(const AttentionLayout& layout, int64_t q_weight_width) {
    if (q_weight_width == layout.d_head) return {layout.heads, layout.kv_heads, layout.d_head, layout.d_head};
    return {1, 1, layout.heads * layout.d_head, layout.kv_heads * layout.d_head};
  }
  MOE_HOST_DEVICE int64_t count() const { return queries + keys; }
  MOE_HOST_DEVICE bool is_query(int64_t span) const { return span < queries; }
  MOE_HOST_DEVICE int64_t width(int64_t span) const { return is_query(span) ? query_width : key_width; }
  MOE_HOST_DEVICE int64_t begin(int64_t span) const {
    return is_query(span) ? span * query_width : queries * query_width + (span - queries) * key_width;
  }
};

// x (tokens, layout.width()); q_weight and k_weight (d_head), or q_weight (heads * d_head) and k_weight (kv_heads *
// d_head) -> y like x, inverse_rms (tokens, QkNormSpans::count())
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
