#include "core/ops/rope.h"

#include <algorithm>
#include <cstdint>
#include <type_traits>

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

// N turns as they are in the table.
template <int N>
__device__ inline void load_turns(float2 (&turns)[N], const float2* table) {
  if constexpr (N % 2 == 0) {
#pragma unroll
    for (int i = 0; i < N; i += 2) {
      const float4 two = *reinterpret_cast<const float4*>(table + i);
      turns[i] = make_float2(two.x, two.y), turns[i + 1] = make_float2(two.z, two.w);
    }
  } else {
#pragma unroll
    for (int i = 0; i < N; ++i) turns[i] = table[i];
  }
}

// In place. A block has `together` tokens, a thread N neighbouring pairs of a head at a time. All divisions are of 32
// bits, a few for N pairs: of 64 bits they would take longer than the memory.
template <class T, int N>
__global__ void rope_kernel(T* qkv, const float2* table, AttentionLayout layout, bool by_token, unsigned tokens,
                            unsigned half, unsigned together) {
  const unsigned pieces = half / N, items = static_cast<unsigned>(layout.heads + layout.kv_heads) * pieces;
  const unsigned d_head = static_cast<unsigned>(layout.d_head), time = static_cast<unsigned>(layout.time);
  for (unsigned i = threadIdx.x; i < together * items; i += blockDim.x) {
    const unsigned local = i / items, item = i - local * items, t = blockIdx.x * together + local;
    if (t >= tokens) return;
    const unsigned head = item / pieces, j = (item - head * pieces) * N;
    T* x = qkv + t * layout.width() + head * d_head + j;
    const unsigned row = by_token ? t : t % time - static_cast<unsigned>(layout.document_begin(t));
    float2 turns[N];
    load_turns(turns, table + row * half + j);
    Floats<N> a = load_vector<N>(x), b = load_vector<N>(x + half);
#pragma unroll
    for (int n = 0; n < N; ++n) {
      const float first = a.v[n], second = b.v[n];
      a.v[n] = first * turns[n].x - second * turns[n].y;
      b.v[n] = second * turns[n].x + first * turns[n].y;
    }
    store_vector(x, a);
    store_vector(x + half, b);
  }
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
  MOE_CHECK(tokens <= INT32_MAX && positions * half <= INT32_MAX, "rope of {} tokens", tokens);
  for_type(qkv.dtype, [&]<class T>(T) {
    const auto run = [&]<int N>(std::integral_constant<int, N>) {
      const int64_t items = (layout.heads + layout.kv_heads) * half / N,
                    together = std::max<int64_t>(kThreads / items, 1);
      launch(ctx, rope_kernel<T, N>, blocks_for(tokens, together), kThreads, 0, qkv.as<T>(), table, layout,
             static_cast<bool>(starts), static_cast<unsigned>(tokens), static_cast<unsigned>(half),
             static_cast<unsigned>(together));
    };
    if (in_vectors<BFloat16>(half, qkv.as<T>()) && in_vectors<BFloat16>(layout.d_head))
      run(std::integral_constant<int, 8>{});
    else
      run(std::integral_constant<int, 1>{});
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
