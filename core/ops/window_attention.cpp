#include "core/ops/window_attention.h"

#include <algorithm>

#include "core/ops/cpu_kernels.h"
#include "core/ops/dispatch.h"

namespace moe {

// Number of partial sums of the positions' gradients in backward. It does not depend on the number of threads, so that
// the result is bitwise reproducible.
static constexpr int64_t kParts = 32;

static int64_t check(ConstTensor qkv, ConstTensor memory, ConstTensor positions, ConstTensor out, ConstTensor logsumexp,
                     const AttentionLayout& layout, const AttentionWindow& window, const AttentionDropout& dropout) {
  MOE_CHECK(dropout.rate < 1, "attention dropout must be below 1, but is {}", dropout.rate);
  const int64_t tokens = qkv.dim(0);
  MOE_CHECK(layout.time > 0 && tokens % layout.time == 0, "{} tokens cannot be divided into sequences of {}", tokens,
            layout.time);
  MOE_CHECK(layout.kv_heads > 0 && layout.heads % layout.kv_heads == 0,
            "{} query heads cannot be divided among {} key/value heads", layout.heads, layout.kv_heads);
  MOE_CHECK(layout.causal && window.size > 0 && window.filled >= 0 && window.filled <= window.size,
            "invalid attention window: {} positions, {} of them filled; attention must be causal", window.size,
            window.filled);
  MOE_CHECK_SHAPE(qkv, {tokens, layout.width()});
  MOE_CHECK_SHAPE(out, {tokens, layout.heads * layout.d_head});
  MOE_CHECK_SHAPE(logsumexp, {tokens, layout.heads});
  if (memory || window.filled > 0) MOE_CHECK_SHAPE(memory, {tokens / layout.time, window.size, layout.memory_width()});
  if (positions) MOE_CHECK_SHAPE(positions, {window.size, layout.d_head});
  return tokens / layout.time;
}

template <class T>
static cpu::WindowTensors<T> tensors_of(const Context& ctx, ConstTensor qkv, ConstTensor memory, ConstTensor positions,
                                        const AttentionLayout& layout, const AttentionWindow& window,
                                        const AttentionDropout& dropout) {
  const auto data = [](ConstTensor x) { return x ? x.as<T>() : nullptr; };
  return {.gemm = cpu::gemm_kernel<T>(ctx.products),
          .qkv = data(qkv),
          .memory = data(memory),
          .positions = data(positions),
          .layout = layout,
          .window = window,
          .mask = AttentionMask::of(dropout, layout, window.size)};
}

void window_attention_forward(Context& ctx, Tensor out, Tensor logsumexp, ConstTensor qkv, ConstTensor memory,
                              ConstTensor positions, const AttentionLayout& layout, const AttentionWindow& window,
                              const AttentionDropout& dropout) {
  const int64_t batch = check(qkv, memory, positions, out, logsumexp, layout, window, dropout);
  if (on_cuda(ctx))
    return cuda::window_attention_forward(ctx, out, logsumexp, qkv, memory, positions, layout, window, dropout);
  run(ctx, qkv.dtype, [&]<class T>(T) {
    cpu::cpu_kernels<T>().window_attention_forward(
        out.as<T>(), logsumexp.as<T>(), tensors_of<T>(ctx, qkv, memory, positions, layout, window, dropout), batch);
  });
}

void window_attention_backward(Context& ctx, Tensor d_qkv, Tensor d_positions, ConstTensor d_out, ConstTensor qkv,
                               ConstTensor memory, ConstTensor positions, ConstTensor out, ConstTensor logsumexp,
                               const AttentionLayout& layout, const AttentionWindow& window,
                               const AttentionDropout& dropout) {
  const int64_t batch = check(qkv, memory, positions, out, logsumexp, layout, window, dropout);
  MOE_CHECK(d_qkv.shape == qkv.shape && d_out.shape == out.shape && d_positions.shape == positions.shape,
            "shapes of gradients and values differ: d_qkv {}, d_out {}, d_positions {}", d_qkv.shape.to_string(),
            d_out.shape.to_string(), d_positions.shape.to_string());
  if (on_cuda(ctx)) {
    return cuda::window_attention_backward(ctx, d_qkv, d_positions, d_out, qkv, memory, positions, out, logsumexp,
                                           layout, window, dropout);
  }
  const int64_t tasks = batch * layout.kv_heads, parts = positions ? std::min(tasks, kParts) : tasks;
  ScratchScope scratch(ctx);
  const Tensor partial =
      positions ? scratch.allocate_wide(Shape{std::max<int64_t>(parts, 1), window.size, layout.d_head}) : Tensor{};
  run(ctx, qkv.dtype, [&]<class T>(T) {
    cpu::cpu_kernels<T>().window_attention_backward(
        d_qkv.as<T>(), positions ? d_positions.as<T>() : nullptr, positions ? partial.as<T>() : nullptr, parts,
        d_out.as<T>(), out.as<T>(), logsumexp.as<T>(),
        tensors_of<T>(ctx, qkv, memory, positions, layout, window, dropout), batch);
  });
}

}  // namespace moe
