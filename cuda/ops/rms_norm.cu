#include "core/ops/rms_norm.h"

#include <algorithm>

#include "cuda/kernel/reduce.cuh"
#include "cuda/kernel/vector.cuh"
#include "cuda/kernel/warp_sums.cuh"

namespace moe::cuda {

static constexpr int kThreads = 256;
static constexpr size_t kMostShared = size_t{96} << 10;

// One warp per row; the second read of the row hits the cache. Rows of one warp are strided, and sums are in the order
// of the lanes, so results do not depend on the schedule.
template <class T, int N>
__global__ void rms_norm_forward_kernel(T* y, float* inverse_rms, const T* x, const T* weight, int64_t rows, int64_t d,
                                        float eps) {
  const int64_t row = warp_in_grid();
  if (row >= rows) return;  // whole warps return; no barrier follows
  const int lane = lane_index();
  x += row * d;
  y += row * d;
  float squares = 0;
  for (int64_t i = lane * N; i < d; i += kWarp * N) {
    const Floats<N> value = load_vector<N>(x + i);
#pragma unroll
    for (int j = 0; j < N; ++j) squares += value.v[j] * value.v[j];
  }
  const float factor = 1.0f / sqrtf(warp_sum(squares) / static_cast<float>(d) + eps);
  if (lane == 0) inverse_rms[row] = factor;
  for (int64_t i = lane * N; i < d; i += kWarp * N) {
    Floats<N> value = load_vector<N>(x + i);
    const Floats<N> w = load_vector<N>(weight + i);
#pragma unroll
    for (int j = 0; j < N; ++j) value.v[j] *= factor * w.v[j];
    store_vector(y + i, value);
  }
}

// One warp per row, rows strided over all warps of the grid. Each warp adds its rows' part of the weight's gradient to
// its own vector in shared memory, (warps, d) f32. At the end the block adds its warps, in order, into partial (blocks,
// d).
template <class T, int N>
__global__ void rms_norm_backward_kernel(T* d_x, float* partial, const T* d_y, const T* x, const T* weight,
                                         const float* inverse_rms, int64_t rows, int64_t d, bool accumulate) {
  const int lane = lane_index();
  float* own = own_sums<float>(d);
  for (int64_t row = warp_in_grid(); row < rows; row += warps_in_grid()) {
    const T *in = x + row * d, *grad = d_y + row * d;
    T* out = d_x + row * d;
    const float factor = inverse_rms[row];
    float dot = 0;
    for (int64_t i = lane * N; i < d; i += kWarp * N) {
      const Floats<N> a = load_vector<N>(in + i), w = load_vector<N>(weight + i), g = load_vector<N>(grad + i);
#pragma unroll
      for (int j = 0; j < N; ++j) dot += a.v[j] * w.v[j] * g.v[j];
    }
    const float shared = warp_sum(dot) * factor * factor * factor / static_cast<float>(d);
    for (int64_t i = lane * N; i < d; i += kWarp * N) {
      const Floats<N> a = load_vector<N>(in + i), w = load_vector<N>(weight + i), g = load_vector<N>(grad + i);
      Floats<N> result;
      if (accumulate) result = load_vector<N>(out + i);
#pragma unroll
      for (int j = 0; j < N; ++j) {
        const float value = w.v[j] * g.v[j] * factor - a.v[j] * shared;
        result.v[j] = accumulate ? result.v[j] + value : value;
        own[i + j] += a.v[j] * factor * g.v[j];
      }
      store_vector(out + i, result);
    }
  }
  add_up_warps(partial, d);
}

// ---- launchers -----------------------------------------------------------------------------------------------------

void rms_norm_forward(Context& ctx, Tensor y, Tensor inverse_rms, ConstTensor x, ConstTensor weight, double eps) {
  const int64_t rows = x.dim(0), d = x.dim(1);
  for_type(x.dtype, [&]<class T>(T) {
    T* out = y.as<T>();
    const T *in = x.as<T>(), *w = weight.as<T>();
    const auto kernel =
        in_vectors<T>(d, out, in, w) ? rms_norm_forward_kernel<T, kPerVector<T>> : rms_norm_forward_kernel<T, 1>;
    launch(ctx, kernel, blocks_for(rows, kThreads / kWarp), kThreads, 0, out, inverse_rms.as<float>(), in, w, rows, d,
           static_cast<float>(eps));
  });
}

void rms_norm_backward(Context& ctx, Tensor d_x, Tensor d_weight, ConstTensor d_y, ConstTensor x, ConstTensor weight,
                       ConstTensor inverse_rms, bool accumulate) {
  const int64_t rows = x.dim(0), d = x.dim(1);
  ScratchScope scratch(ctx);
  const int warps = static_cast<int>(std::clamp<int64_t>(static_cast<int64_t>(kMostShared) / (4 * d), 1, 8));
  const int blocks = static_cast<int>(std::min<int64_t>(2 * kPartials, (rows + warps - 1) / warps));
  float* partial = scratch.allocate(Shape{blocks, d}, DType::f32).as<float>();
  for_type(x.dtype, [&]<class T>(T) {
    T* out = d_x.as<T>();
    const T *grad = d_y.as<T>(), *in = x.as<T>(), *w = weight.as<T>();
    const auto kernel = in_vectors<T>(d, out, grad, in, w) ? rms_norm_backward_kernel<T, kPerVector<T>>
                                                           : rms_norm_backward_kernel<T, 1>;
    launch(ctx, kernel, dim3(static_cast<unsigned>(blocks)), warps * kWarp,
           static_cast<size_t>(warps * d) * sizeof(float), out, partial, grad, in, w, inverse_rms.as<float>(), rows, d,
           accumulate);
  });
  add_partials(ctx, d_weight.as<float>(), partial, d, d, blocks);
}

}  // namespace moe::cuda
