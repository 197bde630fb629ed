#include "core/ops/attention.h"

#include "core/ops/cpu_kernels.h"
#include "core/ops/dispatch.h"

namespace moe {

static int64_t check(ConstTensor qkv, ConstTensor out, ConstTensor logsumexp, const AttentionLayout& layout,
                     const AttentionDropout& dropout) {
  const int64_t tokens = qkv.dim(0);
  MOE_CHECK(layout.time > 0 && tokens % layout.time == 0, "{} tokens cannot be divided into sequences of {}", tokens,
            layout.time);
  MOE_CHECK(layout.kv_heads > 0 && layout.heads % layout.kv_heads == 0,
            "{} query heads cannot be divided among {} key/value heads", layout.heads, layout.kv_heads);
  MOE_CHECK_SHAPE(qkv, {tokens, layout.width()});
  MOE_CHECK_SHAPE(out, {tokens, layout.heads * layout.d_head});
  MOE_CHECK_SHAPE(logsumexp, {tokens, layout.heads});
  MOE_CHECK((layout.begins == nullptr) == (layout.ends == nullptr) && (layout.causal || layout.begins == nullptr),
            "documents need their begins and their ends, and causal attention");
  MOE_CHECK(dropout.rate < 1, "attention dropout must be below 1, but is {}", dropout.rate);
  return tokens / layout.time;
}

void attention_forward(Context& ctx, Tensor out, Tensor logsumexp, ConstTensor qkv, const AttentionLayout& layout,
                       const AttentionDropout& dropout) {
  const int64_t batch = check(qkv, out, logsumexp, layout, dropout);
  if (on_cuda(ctx)) return cuda::attention_forward(ctx, out, logsumexp, qkv, layout, dropout);
  const AttentionMask mask = AttentionMask::of(dropout, layout);
  run(ctx, qkv.dtype, [&]<class T>(T) {
    cpu::attention_kernels<T>(ctx.products).forward(out.as<T>(), logsumexp.as<T>(), qkv.as<T>(), batch, layout, mask);
  });
}

void attention_backward(Context& ctx, Tensor d_qkv, ConstTensor d_out, ConstTensor qkv, ConstTensor out,
                        ConstTensor logsumexp, const AttentionLayout& layout, const AttentionDropout& dropout) {
  const int64_t batch = check(qkv, out, logsumexp, layout, dropout);
  MOE_CHECK(d_qkv.shape == qkv.shape && d_out.shape == out.shape,
            "shapes of gradients and values differ: d_qkv {}, d_out {}", d_qkv.shape.to_string(),
            d_out.shape.to_string());
  if (on_cuda(ctx)) return cuda::attention_backward(ctx, d_qkv, d_out, qkv, out, logsumexp, layout, dropout);
  const AttentionMask mask = AttentionMask::of(dropout, layout);
  run(ctx, qkv.dtype, [&]<class T>(T) {
    cpu::attention_kernels<T>(ctx.products)
        .backward(d_qkv.as<T>(), d_out.as<T>(), qkv.as<T>(), out.as<T>(), logsumexp.as<T>(), batch, layout, mask);
  });
}

}  // namespace moe
