#include "core/ops/qk_norm.h"

#include <algorithm>

#include "cuda/kernel/reduce.cuh"
#include "cuda/kernel/vector.cuh"
#include "cuda/kernel/warp_sums.cuh"

namespace moe::cuda {

static constexpr int kThreads = 256;
static constexpr int kWarps = kThreads / kWarp;
static constexpr size_t kMostShared = size_t{96} << 10;

// One warp per span of a token that is normalised, and one per value head, which is copied.
template <class T>
__global__ void qk_norm_forward_kernel(T* y, float* inverse_rms, const T* x, const T* q_weight, const T* k_weight,
                                       AttentionLayout layout, QkNormSpans spans, int64_t tokens, float eps) {
  const int64_t normed = spans.count(), all = normed + layout.kv_heads;
  const int64_t i = warp_in_grid(), t = i / all, span = i % all;
  if (t >= tokens) return;
  const int lane = lane_index();
  const bool is_value = span >= normed;  // the same for all lanes
  const int64_t begin = is_value ? layout.value_column() + (span - normed) * layout.d_head : spans.begin(span);
  const T* in = x + t * layout.width() + begin;
  T* out = y + t * layout.width() + begin;
  if (is_value) {
    for (int64_t c = lane; c < layout.d_head; c += kWarp) out[c] = in[c];
    return;
  }
  const T* weight = spans.is_query(span) ? q_weight : k_weight;
  const int64_t d = spans.width(span);
  float squares = 0;
  for (int64_t c = lane; c < d; c += kWarp) squares += load(in + c) * load(in + c);
  const float factor = 1.0f / sqrtf(warp_sum(squares) / static_cast<float>(d) + eps);
  if (lane == 0) inverse_rms[t * normed + span] = factor;
  for (int64_t c = lane; c < d; c += kWarp) store(out + c, load(in + c) * factor * load(weight + c));
}

// One warp per span of a token, strided over the grid. Each warp sums the weights' gradients of its spans in shared
// memory, (warps, query_width + key_width) f32. The block adds its warps, in order, into partial (blocks, query_width +
// key_width).
template <class T>
__global__ void qk_norm_backward_kernel(T* d_qkv, float* partial, const T* x, const T* q_weight, const T* k_weight,
                                        const float* inverse_rms, int64_t row_width, QkNormSpans spans,
                                        int64_t tokens) {
  const int64_t normed = spans.count(), columns = spans.query_width + spans.key_width;
  const int lane = lane_index();
  float* own = own_sums<float>(columns);
  for (int64_t i = warp_in_grid(); i < tokens * normed; i += warps_in_grid()) {
    const int64_t t = i / normed, span = i % normed, d = spans.width(span);
    const T* in = x + t * row_width + spans.begin(span);
    T* grad = d_qkv + t * row_width + spans.begin(span);
    const bool query = spans.is_query(span);
    const T* weight = query ? q_weight : k_weight;
    float* sum = query ? own : own + spans.query_width;
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
  add_up_warps(partial, columns);
}

// Adds partial (blocks, query_width + key_width) to the two gradients.
static __global__ void qk_norm_weights_kernel(float* d_q_weight, float* d_k_weight, const float* partial,
                                              int64_t query_width, int64_t columns, int blocks) {
  const int64_t c = thread_in_grid();
  if (c >= columns) return;
  float sum = 0;
  for (int b = 0; b < blocks; ++b) sum += partial[b * columns + c];
  (c < query_width ? d_q_weight[c] : d_k_weight[c - query_width]) += sum;
}

// ---- launchers -----------------------------------------------------------------------------------------------------

void qk_norm_forward(Context& ctx, Tensor y, Tensor inverse_rms, ConstTensor x, ConstTensor q_weight,
                     ConstTensor k_weight, const AttentionLayout& layout, double eps) {
  const QkNormSpans spans = QkNormSpans::of(layout, q_weight.size());
  const int64_t tokens = x.dim(0), all = spans.count() + layout.kv_heads;
  for_type(x.dtype, [&]<class T>(T) {
    launch(ctx, qk_norm_forward_kernel<T>, blocks_for(tokens * all, kWarps), kThreads, 0, y.as<T>(),
           inverse_rms.as<float>(), x.as<T>(), q_weight.as<T>(), k_weight.as<T>(), layout, spans, tokens,
           static_cast<float>(eps));
  });
}

void qk_norm_backward(Context& ctx, Tensor d_qkv, Tensor d_q_weight, Tensor d_k_weight, ConstTensor x,
                      ConstTensor q_weight, ConstTensor k_weight, ConstTensor inverse_rms,
                      const AttentionLayout& layout) {
  const QkNormSpans spans = QkNormSpans::of(layout, q_weight.size());
  const int64_t tokens = x.dim(0), columns = spans.query_width + spans.key_width;
  const int warps = static_cast<int>(std::clamp<int64_t>(static_cast<int64_t>(kMostShared) / (4 * columns), 1, kWarps));
  const int blocks = static_cast<int>(std::min<int64_t>(2 * kPartials, (tokens * spans.count() + warps - 1) / warps));
  ScratchScope scratch(ctx);
  float* partial = scratch.allocate(Shape{blocks, columns}, DType::f32).as<float>();
  for_type(x.dtype, [&]<class T>(T) {
    launch(ctx, qk_norm_backward_kernel<T>, dim3(static_cast<unsigned>(blocks)), warps * kWarp,
           static_cast<size_t>(warps * columns) * sizeof(float), d_qkv.as<T>(), partial, x.as<T>(), q_weight.as<T>(),
           k_weight.as<T>(), inverse_rms.as<float>(), layout.width(), spans, tokens);
  });
  launch(ctx, qk_norm_weights_kernel, blocks_for(columns, 128), 128, 0, d_q_weight.as<float>(), d_k_weight.as<float>(),
         partial, spans.query_width, columns, blocks);
}

}  // namespace moe::cuda
