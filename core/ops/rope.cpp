#include "core/ops/rope.h"

#include <cmath>
#include <vector>

#include "core/ops/dispatch.h"

namespace moe {

// `starts`: see rope_forward().
static void rotate(Context& ctx, Tensor qkv, const AttentionLayout& layout, const RopeFrequencies& frequencies,
                   ConstTensor starts, double direction) {
  const int64_t tokens = qkv.dim(0), half = frequencies.dims / 2;
  MOE_CHECK_SHAPE(qkv, {tokens, layout.width()});
  MOE_CHECK(frequencies.dims % 2 == 0 && frequencies.dims <= layout.d_head,
            "{} rotary dimensions: must be even and at most d_head, which is {}", frequencies.dims, layout.d_head);
  if (starts) MOE_CHECK_SHAPE(starts, {tokens / layout.time});
  if (on_cuda(ctx)) {
    if (direction > 0) return cuda::rope_forward(ctx, qkv, layout, frequencies, starts);
    return cuda::rope_backward(ctx, qkv, layout, frequencies);
  }
  run(ctx, qkv.dtype, [&]<class T>(T) {
    // cos and sin per (position, pair), or per (token, pair) where sequences start at different positions; reused by
    // each thread between calls
    thread_local std::vector<T> table;
    const int32_t* const start = starts ? starts.as<int32_t>() : nullptr;
    const int64_t positions = start ? tokens : layout.time;
    table.resize(static_cast<size_t>(2 * positions * half));
    T *cosines = table.data(), *sines = cosines + positions * half;
    T* rows = qkv.as<T>();
#pragma omp parallel
    {
#pragma omp for schedule(static)
      for (int64_t i = 0; i < positions; ++i) {
        const int64_t position = start ? start[i / layout.time] + i % layout.time : i;
        for (int64_t j = 0; j < half; ++j) {
          const double angle = static_cast<double>(position) * frequencies.at(j);
          cosines[i * half + j] = static_cast<T>(std::cos(angle));
          sines[i * half + j] = static_cast<T>(direction * std::sin(angle));
        }
      }
#pragma omp for schedule(static)
      for (int64_t t = 0; t < tokens; ++t) {
        const int64_t row = start ? t : layout.position(t);
        const T* c = cosines + row * half;
        const T* s = sines + row * half;
        for (int64_t head = 0; head < layout.heads + layout.kv_heads; ++head) {
          T* x = rows + t * layout.width() + head * layout.d_head;
#pragma omp simd
          for (int64_t j = 0; j < half; ++j) {
            const T a = x[j], b = x[j + half];
            x[j] = a * c[j] - b * s[j];
            x[j + half] = b * c[j] + a * s[j];
          }
        }
      }
    }
  });
}

void rope_forward(Context& ctx, Tensor qkv, const AttentionLayout& layout, const RopeFrequencies& frequencies,
                  ConstTensor starts) {
  rotate(ctx, qkv, layout, frequencies, starts, 1);
}

void rope_backward(Context& ctx, Tensor d_qkv, const AttentionLayout& layout, const RopeFrequencies& frequencies) {
  rotate(ctx, d_qkv, layout, frequencies, {}, -1);
}

}  // namespace moe
