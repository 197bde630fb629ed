#include "core/ops/context_memory.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/ops/dispatch.h"

namespace moe {

void take_recent(Context& ctx, Tensor recent, ConstTensor qkv, const AttentionLayout& layout) {
  const int64_t sequences = recent.dim(0), n = recent.dim(1), width = layout.memory_width();
  MOE_CHECK_SHAPE(recent, {sequences, n, width});
  MOE_CHECK_SHAPE(qkv, {sequences * layout.time, layout.width()});
  MOE_CHECK(n <= layout.time, "cannot take {} positions from sequences of {}", n, layout.time);
  if (on_cuda(ctx)) return cuda::take_recent(ctx, recent, qkv, layout);
  run(ctx, qkv.dtype, [&]<class T>(T) {
    T* const to = recent.as<T>();
    const T* const from = qkv.as<T>() + layout.key_column();
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < sequences * n; ++i) {
      const int64_t token = i / n * layout.time + layout.time - n + i % n;
      std::copy_n(from + token * layout.width(), width, to + i * width);
    }
  });
}

void append_recent(Context& ctx, Tensor memory, ConstTensor recent) {
  const int64_t sequences = memory.dim(0), size = memory.dim(1), width = memory.dim(2), n = recent.dim(1);
  MOE_CHECK_SHAPE(recent, {sequences, n, width});
  MOE_CHECK(n <= size, "cannot append {} positions to a context memory of {}", n, size);
  if (on_cuda(ctx)) return cuda::append_recent(ctx, memory, recent);
  run(ctx, memory.dtype, [&]<class T>(T) {
    T* const to = memory.as<T>();
    const T* const from = recent.as<T>();
#pragma omp parallel for schedule(static)
    for (int64_t s = 0; s < sequences; ++s) {
      T* const own = to + s * size * width;
      std::copy(own + n * width, own + size * width, own);
      std::copy_n(from + s * n * width, n * width, own + (size - n) * width);
    }
  });
}

void turn_memory(Context& ctx, Tensor turned, ConstTensor memory, const AttentionLayout& layout, int64_t filled,
                 const RopeFrequencies& frequencies) {
  const int64_t sequences = memory.dim(0), size = memory.dim(1), width = layout.memory_width(),
                half = frequencies.dims / 2;
  MOE_CHECK_SHAPE(memory, {sequences, size, width});
  MOE_CHECK_SHAPE(turned, {sequences, size, width});
  MOE_CHECK(frequencies.dims % 2 == 0 && frequencies.dims <= layout.d_head,
            "{} rotary dimensions: must be even and at most d_head, which is {}", frequencies.dims, layout.d_head);
  MOE_CHECK(filled >= 0 && filled <= size, "{} filled positions: must be between 0 and the memory's size {}", filled,
            size);
  if (on_cuda(ctx)) return cuda::turn_memory(ctx, turned, memory, layout, filled, frequencies);
  run(ctx, memory.dtype, [&]<class T>(T) {
    thread_local std::vector<T> table;  // cos and sin per (position, pair) for the whole memory
    table.resize(static_cast<size_t>(2 * size * half));
    T *const cosines = table.data(), *const sines = cosines + size * half;
    T* const to = turned.as<T>();
    const T* const from = memory.as<T>();
#pragma omp parallel
    {
#pragma omp for schedule(static)
      for (int64_t i = size - filled; i < size; ++i) {
        for (int64_t j = 0; j < half; ++j) {
          const double angle = static_cast<double>(i - size) * frequencies.at(j);
          cosines[i * half + j] = static_cast<T>(std::cos(angle));
          sines[i * half + j] = static_cast<T>(std::sin(angle));
        }
      }
#pragma omp for collapse(2) schedule(static)
      for (int64_t s = 0; s < sequences; ++s) {
        for (int64_t i = size - filled; i < size; ++i) {
          const T *const in = from + (s * size + i) * width, *const c = cosines + i * half,
                         *const sn = sines + i * half;
          T* const out = to + (s * size + i) * width;
          std::copy_n(in, width, out);
          for (int64_t head = 0; head < layout.kv_heads; ++head) {
            const int64_t at = head * layout.d_head;
            for (int64_t j = 0; j < half; ++j) {
              const T a = in[at + j], b = in[at + j + half];
              out[at + j] = a * c[j] - b * sn[j];
              out[at + j + half] = b * c[j] + a * sn[j];
            }
          }
        }
      }
    }
  });
}

}  // namespace moe
