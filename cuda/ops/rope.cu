#include "core/ops/rope.h"

#include "cuda/device/launch.cuh"
#include "cuda/kernel/vector.cuh"
#include "cuda/kernel/warp.cuh"

namespace moe::cuda {

static constexpr int kThreads = 256;

// table (positions, half): cosine and sine of each position and pair, in f64 as on the CPU. With `starts` the positions
// are those of all tokens, `time` of each sequence.
static __global__ void rope_table_kernel(float2* table, int64_t positions, int64_t time, const int32_t* starts,
                                         RopeFrequencies frequencies, double direction) {
  const int64_t i = thread_in_grid(), half = frequencies.dims / 2;
  if (i >= positions * half) return;
  const int64_t row = i / half, position = starts ? starts[row / time] + row % time : row;
  const double angle = static_cast<double>(position) * frequencies.at(i % half);
  table[i] = make_float2(static_cast<float>(cos(angle)), static_cast<float>(direction * sin(angle)));
}

// One thread per pair, in place.
template <class T>
__global__ void rope_kernel(T* qkv, const float2* table, int64_t positions, AttentionLayout layout, int64_t tokens,
                            int64_t half) {
  const int64_t heads = layout.heads + layout.kv_heads;
  const int64_t i = thread_in_grid();
  const int64_t j = i % half, head = i / half % heads, t = i / half / heads;
  if (t >= tokens) return;
  T* x = qkv + t * layout.width() + head * layout.d_head + j;
  const float2 turn = table[t % positions * half + j];
  const float a = load(x), b = load(x + half);
  store(x, a * turn.x - b * turn.y);
  store(x + half, b * turn.x + a * turn.y);
}

// ---- launchers -----------------------------------------------------------------------------------------------------

static void rotate(Context& ctx, Tensor qkv, const AttentionLayout& layout, const RopeFrequencies& frequencies,
                   ConstTensor starts, double direction) {
  const int64_t tokens = qkv.dim(0), half = frequencies.dims / 2, positions = starts ? tokens : layout.time;
  if (half == 0) return;
  ScratchScope scratch(ctx);
  auto* table = static_cast<float2*>(scratch.allocate(Shape{positions, half, 2}, DType::f32).data);
  launch(ctx, rope_table_kernel, blocks_for(positions * half, kThreads), kThreads, 0, table, positions, layout.time,
         starts ? starts.as<int32_t>() : nullptr, frequencies, direction);
  for_type(qkv.dtype, [&]<class T>(T) {
    launch(ctx, rope_kernel<T>, blocks_for(tokens * (layout.heads + layout.kv_heads) * half, kThreads), kThreads, 0,
           qkv.as<T>(), table, positions, layout, tokens, half);
  });
}

void rope_forward(Context& ctx, Tensor qkv, const AttentionLayout& layout, const RopeFrequencies& frequencies,
                  ConstTensor starts) {
  rotate(ctx, qkv, layout, frequencies, starts, 1);
}

void rope_backward(Context& ctx, Tensor d_qkv, const AttentionLayout& layout, const RopeFrequencies& frequencies) {
  rotate(ctx, d_qkv, layout, frequencies, {}, -1);
}

}  // namespace moe::cuda
