#include "core/ops/cached_attention.h"

#include "core/ops/cpu_kernels.h"
#include "core/ops/dispatch.h"

namespace moe {

static void check(ConstTensor out, ConstTensor cache, ConstTensor qkv, ConstTensor rows, ConstTensor starts,
                  const AttentionLayout& layout) {
  const int64_t tokens = qkv.dim(0);
  MOE_CHECK(layout.time > 0 && tokens % layout.time == 0, "{} tokens cannot be divided into sequences of {}", tokens,
            layout.time);
  MOE_CHECK(layout.kv_heads > 0 && layout.heads % layout.kv_heads == 0,
            "{} query heads cannot be divided among {} key/value heads", layout.heads, layout.kv_heads);
  MOE_CHECK(layout.causal, "attention with a cache must be causal");
  MOE_CHECK_SHAPE(qkv, {tokens, layout.width()});
  MOE_CHECK_SHAPE(out, {tokens, layout.heads * layout.d_head});
  MOE_CHECK_SHAPE(cache, {cache.dim(0), cache.dim(1), layout.memory_width()});
  MOE_CHECK_SHAPE(rows, {tokens / layout.time});
  MOE_CHECK_SHAPE(starts, {tokens / layout.time});
  MOE_CHECK_DTYPE(rows, DType::i32);
  MOE_CHECK_DTYPE(starts, DType::i32);
}

void cached_attention_forward(Context& ctx, Tensor out, Tensor cache, ConstTensor qkv, ConstTensor rows,
                              ConstTensor starts, const AttentionLayout& layout) {
  check(out, cache, qkv, rows, starts, layout);
  if (on_cuda(ctx)) return cuda::cached_attention_forward(ctx, out, cache, qkv, rows, starts, layout);
  run(ctx, qkv.dtype, [&]<class T>(T) {
    const cpu::CachedTokens<T> x{.qkv = qkv.as<T>(),
                                 .cache = cache.as<T>(),
                                 .positions = cache.dim(1),
                                 .rows = rows.as<int32_t>(),
                                 .starts = starts.as<int32_t>(),
                                 .layout = layout};
    for (int64_t s = 0; s < rows.size(); ++s) {
      MOE_CHECK(
          x.rows[s] >= 0 && x.rows[s] < cache.dim(0) && x.starts[s] >= 0 && x.starts[s] + layout.time <= x.positions,
          "row {}, positions {} to {} do not fit in a cache of {} rows and {} positions", x.rows[s], x.starts[s],
          x.starts[s] + layout.time, cache.dim(0), x.positions);
    }
    cpu::cpu_kernels<T>().cached_attention(out.as<T>(), x, rows.size());
  });
}

}  // namespace moe
