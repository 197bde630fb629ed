#include "core/ops/rope.h"

#include "cuda/device/launch.cuh"
#include "cuda/kernel/vector.cuh"
#include "cuda/kernel/warp.cuh"

namespace moe::cuda {

static constexpr int kThreads = 256;

// table (time, half): cosine and sine of each position and pair, in f64 as on the CPU
static __global__ void rope_table_kernel(float2* table, int64_t time, RopeFrequencies frequencies, double direction) {
  const int64_t i = thread_in_grid(), half = frequencies.dims / 2;
  if (i >= time * half) return;
  const double angle = static_cast<double>(i / half) * frequencies.at(i % half);
  table[i] = make_float2(static_cast<float>(cos(angle)), static_cast<float>(direction * sin(angle)));
}

// One thread per pair, in place.
template <class T>
__global__ void rope_kernel(T* qkv, const float2* table, AttentionLayout layout, int64_t tokens, int64_t half) {
  const int64_t heads = layout.heads + layout.kv_heads;
  const int64_t i = thread_in_grid();
  const int64_t j = i % half, head = i / half % heads, t = i / half / heads;
  if (t >= tokens) return;
  T* x = qkv + t * layout.width() + head * layout.d_head + j;
  const float2 turn = table[layout.position(t) * half + j];
  const float a = load(x), b = load(x + half);
  store(x, a * turn.x - b * turn.y);
  store(x + half, b * turn.x + a * turn.y);
}

// ---- launchers -----------------------------------------------------------------------------------------------------

static void rotate(Context& ctx, Tensor qkv, const AttentionLayout& layout, const RopeFrequencies& frequencies,
                   double direction) {
  const int64_t tokens = qkv.dim(0), half = frequencies.dims / 2;
  if (half == 0) return;
  ScratchScope scratch(ctx);
  auto* table = static_cast<float2*>(scratch.allocate(Shape{layout.time, half, 2}, DType::f32).data);
  launch(ctx, rope_table_kernel, blocks_for(layout.time * half, kThreads), kThreads, 0, table, layout.time, frequencies,
         direction);
  for_type(qkv.dtype, [&]<class T>(T) {
    launch(ctx, rope_kernel<T>, blocks_for(tokens * (layout.heads + layout.kv_heads) * half, kThreads), kThreads, 0,
           qkv.as<T>(), table, layout, tokens, half);
  });
}

void rope_forward(Context& ctx, Tensor qkv, const AttentionLayout& layout, const RopeFrequencies& frequencies) {
  rotate(ctx, qkv, layout, frequencies, 1);
}

void rope_backward(Context& ctx, Tensor d_qkv, const AttentionLayout& layout, const RopeFrequencies& frequencies) {
  rotate(ctx, d_qkv, layout, frequencies, -1);
}

}  // namespace moe::cuda
