#include "core/ops/qk_norm.h"

#include <algorithm>

#include "cuda/kernel/reduce.cuh"
#include "cuda/kernel/vector.cuh"
#include "cuda/kernel/warp_sums.cuh"

namespace moe::cuda {

static constexpr int kThreads = 256;
static constexpr int kWarps = kThreads / kWarp;

// One warp per head of a token; value heads are copied.
template <class T>
__global__ void qk_norm_forward_kernel(T* y, float* inverse_rms, const T* x, const T* q_weight, const T* k_weight,
                                       AttentionLayout layout, int64_t tokens, float eps) {
  const int64_t all = layout.heads + 2 * layout.kv_heads, normed = layout.heads + layout.kv_heads, d = layout.d_head;
  const int64_t i = warp_in_grid(), t = i / all, head = i % all;
  if (t >= tokens) return;
  const int lane = lane_index();
  const T* in = x + t * layout.width() + head * d;
  T* out = y + t * layout.width() + head * d;
  if (head >= normed) {  // the same for all lanes
    for (int64_t c = lane; c < d; c += kWarp) out[c] = in[c];
    return;
  }
  const T* weight = head < layout.heads ? q_weight : k_weight;
  float squares = 0;
  for (int64_t c = lane; c < d; c += kWarp) squares += load(in + c) * load(in + c);
  const float factor = 1.0f / sqrtf(warp_sum(squares) / static_cast<float>(d) + eps);
  if (lane == 0) inverse_rms[t * normed + head] = factor;
  for (int64_t c = lane; c < d; c += kWarp) store(out + c, load(in + c) * factor * load(weight + c));
}

// One warp per query or key head of a token, strided over the grid. Each warp sums the weights' gradients of its heads
// in shared memory, (warps, 2, d_head) f32. The block adds its warps, in order, into partial (blocks, 2, d_head).
template <class T>
__global__ void qk_norm_backward_kernel(T* d_qkv, float* partial, const T* x, const T* q_weight, const T* k_weight,
                                        const float* inverse_rms, AttentionLayout layout, int64_t tokens) {
  const int64_t normed = layout.heads + layout.kv_heads, d = layout.d_head;
  const int lane = lane_index();
  float* own = own_sums<float>(2 * d);
  for (int64_t i = warp_in_grid(); i < tokens * normed; i += warps_in_grid()) {
    const int64_t t = i / normed, head = i % normed;
    const T* in = x + t * layout.width() + head * d;
    T* grad = d_qkv + t * layout.width() + head * d;
    const bool query = head < layout.heads;
    const T* weight = query ? q_weight : k_weight;
    float* sum = query ? own : own + d;
    const float factor = inverse_rms[i];
    float dot = 0;
    for (int64_t c = lane; c < d; c += kWarp) dot += load(in + c) * load(weight + c) * load(grad + c);
    const float shared = warp_sum(dot) * factor * factor * factor / static_cast<float>(d);
    for (int64_t c = lane; c < d; c += kWarp) {
      const float g = load(grad + c), value = load(in + c);
      sum[c] += g * value * factor;
      store(grad + c, load(weight + c) * g * factor - value * shared);
    }
  }
  add_up_warps(partial, 2 * d);
}

// Adds partial (blocks, 2, d) to the two gradients.
static __global__ void qk_norm_weights_kernel(float* d_q_weight, float* d_k_weight, const float* partial, int64_t d,
                                              int blocks) {
  const int64_t c = thread_in_grid();
  if (c >= 2 * d) return;
  float sum = 0;
  for (int b = 0; b < blocks; ++b) sum += partial[b * 2 * d + c];
  (c < d ? d_q_weight[c] : d_k_weight[c - d]) += sum;
}

// ---- launchers -----------------------------------------------------------------------------------------------------

void qk_norm_forward(Context& ctx, Tensor y, Tensor inverse_rms, ConstTensor x, ConstTensor q_weight,
                     ConstTensor k_weight, const AttentionLayout& layout, double eps) {
  const int64_t tokens = x.dim(0), all = layout.heads + 2 * layout.kv_heads;
  for_type(x.dtype, [&]<class T>(T) {
    launch(ctx, qk_norm_forward_kernel<T>, blocks_for(tokens * all, kWarps), kThreads, 0, y.as<T>(),
           inverse_rms.as<float>(), x.as<T>(), q_weight.as<T>(), k_weight.as<T>(), layout, tokens,
           static_cast<float>(eps));
  });
}

void qk_norm_backward(Context& ctx, Tensor d_qkv, Tensor d_q_weight, Tensor d_k_weight, ConstTensor x,
                      ConstTensor q_weight, ConstTensor k_weight, ConstTensor inverse_rms,
                      const AttentionLayout& layout) {
  const int64_t tokens = x.dim(0), heads = tokens * (layout.heads + layout.kv_heads), d = layout.d_head;
  const int blocks = static_cast<int>(std::min<int64_t>(2 * kPartials, (heads + kWarps - 1) / kWarps));
  ScratchScope scratch(ctx);
  float* partial = scratch.allocate(Shape{blocks, 2, d}, DType::f32).as<float>();
  for_type(x.dtype, [&]<class T>(T) {
    launch(ctx, qk_norm_backward_kernel<T>, dim3(static_cast<unsigned>(blocks)), kThreads,
           static_cast<size_t>(2 * kWarps * d) * sizeof(float), d_qkv.as<T>(), partial, x.as<T>(), q_weight.as<T>(),
           k_weight.as<T>(), inverse_rms.as<float>(), layout, tokens);
  });
  launch(ctx, qk_norm_weights_kernel, blocks_for(2 * d, 128), 128, 0, d_q_weight.as<float>(), d_k_weight.as<float>(),
         partial, d, blocks);
}

}  // namespace moe::cuda
