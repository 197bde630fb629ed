#include "core/ops/rope.h"

#include <cmath>
#include <vector>

#include "core/ops/dispatch.h"

namespace moe {

static void rotate(Context& ctx, Tensor qkv, const AttentionLayout& layout, const RopeFrequencies& frequencies,
                   double direction) {
  const int64_t tokens = qkv.dim(0), half = frequencies.dims / 2;
  MOE_CHECK_SHAPE(qkv, {tokens, layout.width()});
  MOE_CHECK(frequencies.dims % 2 == 0 && frequencies.dims <= layout.d_head,
            "{} rotary dimensions: must be even and at most d_head, which is {}", frequencies.dims, layout.d_head);
  if (on_cuda(ctx)) {
    return (direction > 0 ? cuda::rope_forward : cuda::rope_backward)(ctx, qkv, layout, frequencies);
  }
  run(ctx, qkv.dtype, [&]<class T>(T) {
    // cos and sin per (position, pair), reused by each thread between calls
    thread_local std::vector<T> table;
    table.resize(static_cast<size_t>(2 * layout.time * half));
    T *cosines = table.data(), *sines = cosines + layout.time * half;
    T* rows = qkv.as<T>();
#pragma omp parallel
    {
#pragma omp for schedule(static)
      for (int64_t position = 0; position < layout.time; ++position) {
        for (int64_t j = 0; j < half; ++j) {
          const double angle = static_cast<double>(position) * frequencies.at(j);
          cosines[position * half + j] = static_cast<T>(std::cos(angle));
          sines[position * half + j] = static_cast<T>(direction * std::sin(angle));
        }
      }
#pragma omp for schedule(static)
      for (int64_t t = 0; t < tokens; ++t) {
        const T* c = cosines + layout.position(t) * half;
        const T* s = sines + layout.position(t) * half;
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

void rope_forward(Context& ctx, Tensor qkv, const AttentionLayout& layout, const RopeFrequencies& frequencies) {
  rotate(ctx, qkv, layout, frequencies, 1);
}

void rope_backward(Context& ctx, Tensor d_qkv, const AttentionLayout& layout, const RopeFrequencies& frequencies) {
  rotate(ctx, d_qkv, layout, frequencies, -1);
}

}  // namespace moe
