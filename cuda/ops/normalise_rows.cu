#include <type_traits>

#include "core/ops/normalise_rows.h"

#include "core/ops/grouped_rows.h"
#include "cuda/device/launch.cuh"
#include "cuda/kernel/vector.cuh"
#include "cuda/kernel/warp.cuh"

namespace moe::cuda {

static constexpr int kThreads = 256;

// 1 / (norm + offset), or 0 where the divisor is 0.
static __device__ float inverse_of(float norm, float offset) {
  const float divisor = norm + offset;
  return divisor > 0 ? 1.0f / divisor : 0.0f;
}

// One warp per row; the second read of the row hits the cache. Sums are in the order of the lanes.
template <class Y, class X, int N>
__global__ void normalise_rows_forward_kernel(Y* y, float* norms, const X* x, const int32_t* end, int64_t rows,
                                              int64_t d, float offset) {
  const int64_t row = warp_in_grid();
  if (row >= rows || (end && row >= *end)) return;
  float squares = 0;
  for (int64_t i = row * d + lane_index() * N; i < (row + 1) * d; i += kWarp * N) {
    const Floats<N> value = load_vector<N>(x + i);
#pragma unroll
    for (int j = 0; j < N; ++j) squares += value.v[j] * value.v[j];
  }
  const float norm = sqrtf(warp_sum(squares)), inverse = inverse_of(norm, offset);
  if (lane_index() == 0) norms[row] = norm;
  for (int64_t i = row * d + lane_index() * N; i < (row + 1) * d; i += kWarp * N) {
    Floats<N> value = load_vector<N>(x + i);
#pragma unroll
    for (int j = 0; j < N; ++j) value.v[j] *= inverse;
    store_vector(y + i, value);
  }
}

template <class Out, class G, class X, int N>
__global__ void normalise_rows_backward_kernel(Out* d_x, const G* d_y, const X* x, const float* norms,
                                               const int32_t* end, int64_t rows, int64_t d, float offset) {
  const int64_t row = warp_in_grid();
  if (row >= rows || (end && row >= *end)) return;
  float dot = 0;
  for (int64_t i = row * d + lane_index() * N; i < (row + 1) * d; i += kWarp * N) {
    const Floats<N> a = load_vector<N>(x + i), g = load_vector<N>(d_y + i);
#pragma unroll
    for (int j = 0; j < N; ++j) dot += a.v[j] * g.v[j];
  }
  dot = warp_sum(dot);
  const float norm = norms[row], inverse = inverse_of(norm, offset);
  const float back = norm > 0 ? dot * inverse * inverse / norm : 0.0f;
  for (int64_t i = row * d + lane_index() * N; i < (row + 1) * d; i += kWarp * N) {
    const Floats<N> a = load_vector<N>(x + i), g = load_vector<N>(d_y + i);
    Floats<N> out = load_vector<N>(d_x + i);
#pragma unroll
    for (int j = 0; j < N; ++j) out.v[j] += g.v[j] * inverse - a.v[j] * back;
    store_vector(d_x + i, out);
  }
}

// ---- launchers -----------------------------------------------------------------------------------------------------

void normalise_rows_forward(Context& ctx, Tensor y, Tensor norms, ConstTensor x, double offset, ConstTensor groups) {
  const int64_t rows = x.dim(0), d = x.dim(1);
  for_type(y.dtype, [&]<class Y>(Y) {
    for_type(x.dtype, [&]<class X>(X) {
      Y* out = y.as<Y>();
      const X* in = x.as<X>();
      for_width(
          d,
          [&]<int N>(std::integral_constant<int, N>) {
            launch(ctx, normalise_rows_forward_kernel<Y, X, N>, blocks_for(rows, kThreads / kWarp), kThreads, 0, out,
                   norms.as<float>(), in, end_of_groups(groups), rows, d, static_cast<float>(offset));
          },
          out, in);
    });
  });
}

void normalise_rows_backward(Context& ctx, Tensor d_x, ConstTensor d_y, ConstTensor x, ConstTensor norms, double offset,
                             ConstTensor groups) {
  const int64_t rows = x.dim(0), d = x.dim(1);
  for_type(d_x.dtype, [&]<class Out>(Out) {
    for_type(d_y.dtype, [&]<class G>(G) {
      for_type(x.dtype, [&]<class X>(X) {
        Out* out = d_x.as<Out>();
        const G* grad = d_y.as<G>();
        const X* in = x.as<X>();
        for_width(
            d,
            [&]<int N>(std::integral_constant<int, N>) {
              launch(ctx, normalise_rows_backward_kernel<Out, G, X, N>, blocks_for(rows, kThreads / kWarp), kThreads, 0,
                     out, grad, in, norms.as<float>(), end_of_groups(groups), rows, d, static_cast<float>(offset));
            },
            out, grad, in);
      });
    });
  });
}

}  // namespace moe::cuda
