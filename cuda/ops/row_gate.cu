#include <type_traits>

#include "core/ops/row_gate.h"

#include "cuda/device/launch.cuh"
#include "cuda/kernel/vector.cuh"
#include "cuda/kernel/warp.cuh"

namespace moe::cuda {

static constexpr int kThreads = 256;

// One warp per row, N columns per lane at a time.
template <class T, int N>
__global__ void row_gate_forward_kernel(T* y, float* gates, const T* x, const float* logits, int64_t rows, int64_t d) {
  const int64_t r = warp_in_grid();
  if (r >= rows) return;
  const float gate = 1.0f / (1.0f + expf(-logits[r]));
  if (lane_index() == 0) gates[r] = gate;
  for (int64_t i = r * d + lane_index() * N; i < (r + 1) * d; i += kWarp * N) {
    Floats<N> out = load_vector<N>(y + i);
    const Floats<N> in = load_vector<N>(x + i);
#pragma unroll
    for (int j = 0; j < N; ++j) out.v[j] += gate * in.v[j];
    store_vector(y + i, out);
  }
}

// Likewise. The sum of a row's logit gradient is in the order of the lanes.
template <class T, int N>
__global__ void row_gate_backward_kernel(T* d_x, float* d_logits, const T* d_y, const T* x, const float* gates,
                                         int64_t rows, int64_t d) {
  const int64_t r = warp_in_grid();
  if (r >= rows) return;
  const float gate = gates[r];
  float d_gate = 0;
  for (int64_t i = r * d + lane_index() * N; i < (r + 1) * d; i += kWarp * N) {
    const Floats<N> in = load_vector<N>(x + i);
    Floats<N> grad = load_vector<N>(d_y + i);
#pragma unroll
    for (int j = 0; j < N; ++j) {
      d_gate += grad.v[j] * in.v[j];
      grad.v[j] *= gate;
    }
    store_vector(d_x + i, grad);
  }
  d_gate = warp_sum(d_gate);
  if (lane_index() == 0) d_logits[r] = d_gate * gate * (1.0f - gate);
}

// ---- launchers -----------------------------------------------------------------------------------------------------

void row_gate_forward(Context& ctx, Tensor y, Tensor gates, ConstTensor x, ConstTensor logits) {
  const int64_t rows = x.dim(0), d = x.dim(1);
  for_type(y.dtype, [&]<class T>(T) {
    T* out = y.as<T>();
    const T* in = x.as<T>();
    for_width(
        d,
        [&]<int N>(std::integral_constant<int, N>) {
          launch(ctx, row_gate_forward_kernel<T, N>, blocks_for(rows, kThreads / kWarp), kThreads, 0, out,
                 gates.as<float>(), in, logits.as<float>(), rows, d);
        },
        out, in);
  });
}

void row_gate_backward(Context& ctx, Tensor d_x, Tensor d_logits, ConstTensor d_y, ConstTensor x, ConstTensor gates) {
  const int64_t rows = x.dim(0), d = x.dim(1);
  for_type(d_y.dtype, [&]<class T>(T) {
    T* to = d_x.as<T>();
    const T *grad = d_y.as<T>(), *in = x.as<T>();
    for_width(
        d,
        [&]<int N>(std::integral_constant<int, N>) {
          launch(ctx, row_gate_backward_kernel<T, N>, blocks_for(rows, kThreads / kWarp), kThreads, 0, to,
                 d_logits.as<float>(), grad, in, gates.as<float>(), rows, d);
        },
        to, grad, in);
  });
}

}  // namespace moe::cuda
