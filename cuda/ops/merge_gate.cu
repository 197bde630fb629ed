#include <type_traits>

#include "core/ops/merge_gate.h"

#include "cuda/kernel/reduce.cuh"
#include "cuda/kernel/vector.cuh"

namespace moe::cuda {

static constexpr int kThreads = 256;

// One warp per token, N columns per lane at a time.
template <class T, int N>
__global__ void merge_gate_forward_kernel(T* y, float* gates, const T* a, const T* b, const float* logits,
                                          const T* bias, int64_t tokens, int64_t d) {
  const int64_t t = warp_in_grid();
  if (t >= tokens) return;
  const float gate = 1.0f / (1.0f + expf(-(logits[t] + load(bias))));
  if (lane_index() == 0) gates[t] = gate;
  for (int64_t i = t * d + lane_index() * N; i < (t + 1) * d; i += kWarp * N) {
    Floats<N> out = load_vector<N>(a + i);
    const Floats<N> other = load_vector<N>(b + i);
#pragma unroll
    for (int j = 0; j < N; ++j) out.v[j] = gate * out.v[j] + (1.0f - gate) * other.v[j];
    store_vector(y + i, out);
  }
}

template <class T, int N>
__global__ void merge_gate_backward_kernel(T* d_a, T* d_b, float* d_logits, const T* d_y, const T* a, const T* b,
                                           const float* gates, int64_t tokens, int64_t d) {
  const int64_t t = warp_in_grid();
  if (t >= tokens) return;
  const float gate = gates[t];
  float d_gate = 0;
  for (int64_t i = t * d + lane_index() * N; i < (t + 1) * d; i += kWarp * N) {
    const Floats<N> first = load_vector<N>(a + i), second = load_vector<N>(b + i), grad = load_vector<N>(d_y + i);
    Floats<N> to_first, to_second;
#pragma unroll
    for (int j = 0; j < N; ++j) {
      d_gate += grad.v[j] * (first.v[j] - second.v[j]);
      to_first.v[j] = gate * grad.v[j];
      to_second.v[j] = (1.0f - gate) * grad.v[j];
    }
    store_vector(d_a + i, to_first);
    store_vector(d_b + i, to_second);
  }
  d_gate = warp_sum(d_gate);
  if (lane_index() == 0) d_logits[t] = d_gate * gate * (1.0f - gate);
}

// ---- launchers -----------------------------------------------------------------------------------------------------

void merge_gate_forward(Context& ctx, Tensor y, Tensor gates, ConstTensor a, ConstTensor b, ConstTensor logits,
                        ConstTensor bias) {
  const int64_t tokens = a.dim(0), d = a.dim(1);
  for_type(y.dtype, [&]<class T>(T) {
    T* out = y.as<T>();
    const T *first = a.as<T>(), *second = b.as<T>();
    for_width(
        d,
        [&]<int N>(std::integral_constant<int, N>) {
          launch(ctx, merge_gate_forward_kernel<T, N>, blocks_for(tokens, kThreads / kWarp), kThreads, 0, out,
                 gates.as<float>(), first, second, logits.as<float>(), bias.as<T>(), tokens, d);
        },
        out, first, second);
  });
}

void merge_gate_backward(Context& ctx, Tensor d_a, Tensor d_b, Tensor d_logits, Tensor d_bias, ConstTensor d_y,
                         ConstTensor a, ConstTensor b, ConstTensor gates) {
  const int64_t tokens = a.dim(0), d = a.dim(1);
  for_type(d_y.dtype, [&]<class T>(T) {
    T *to_first = d_a.as<T>(), *to_second = d_b.as<T>();
    const T *grad = d_y.as<T>(), *first = a.as<T>(), *second = b.as<T>();
    for_width(
        d,
        [&]<int N>(std::integral_constant<int, N>) {
          launch(ctx, merge_gate_backward_kernel<T, N>, blocks_for(tokens, kThreads / kWarp), kThreads, 0, to_first,
                 to_second, d_logits.as<float>(), grad, first, second, gates.as<float>(), tokens, d);
        },
        to_first, to_second, grad, first, second);
  });
  add_sum(ctx, d_bias.as<float>(), d_logits.as<float>(), tokens);
}

}  // namespace moe::cuda
