#include "core/ops/layer_norm.h"

#include <algorithm>

#include "cuda/kernel/reduce.cuh"
#include "cuda/kernel/vector.cuh"
#include "cuda/kernel/warp_sums.cuh"

namespace moe::cuda {

static constexpr int kThreads = 256;
static constexpr size_t kMostShared = size_t{96} << 10;

// One warp per row; later reads of the row hit the cache. Sums are in the order of the lanes.
template <class T, int N>
__global__ void layer_norm_forward_kernel(T* y, float* statistics, const T* x, const T* weight, const T* bias,
                                          int64_t rows, int64_t d, float eps) {
  const int64_t row = warp_in_grid();
  if (row >= rows) return;  // whole warps return; no barrier follows
  const int lane = lane_index();
  x += row * d;
  y += row * d;
  float sum = 0, squares = 0;
  for (int64_t i = lane * N; i < d; i += kWarp * N) {
    const Floats<N> value = load_vector<N>(x + i);
#pragma unroll
    for (int j = 0; j < N; ++j) sum += value.v[j];
  }
  const float mean = warp_sum(sum) / static_cast<float>(d);
  for (int64_t i = lane * N; i < d; i += kWarp * N) {
    const Floats<N> value = load_vector<N>(x + i);
#pragma unroll
    for (int j = 0; j < N; ++j) squares += (value.v[j] - mean) * (value.v[j] - mean);
  }
  const float factor = 1.0f / sqrtf(warp_sum(squares) / static_cast<float>(d) + eps);
  if (lane == 0) statistics[2 * row] = mean, statistics[2 * row + 1] = factor;
  for (int64_t i = lane * N; i < d; i += kWarp * N) {
    Floats<N> value = load_vector<N>(x + i);
    const Floats<N> w = load_vector<N>(weight + i), b = load_vector<N>(bias + i);
#pragma unroll
    for (int j = 0; j < N; ++j) value.v[j] = (value.v[j] - mean) * factor * w.v[j] + b.v[j];
    store_vector(y + i, value);
  }
}

// One warp per row, rows strided over all warps of the grid. Each warp adds its rows' part of the gradients of weight
// and bias to its own vector in shared memory, (warps, 2 d) f32. At the end the block adds its warps, in order, into
// partial (blocks, 2 d).
template <class T, int N>
__global__ void layer_norm_backward_kernel(T* d_x, float* partial, const T* d_y, const T* x, const T* weight,
                                           const float* statistics, int64_t rows, int64_t d, bool accumulate) {
  const int lane = lane_index();
  float *d_weight = own_sums<float>(2 * d), *d_bias = d_weight + d;
  for (int64_t row = warp_in_grid(); row < rows; row += warps_in_grid()) {
    const T *in = x + row * d, *grad = d_y + row * d;
    T* out = d_x + row * d;
    const float mean = statistics[2 * row], factor = statistics[2 * row + 1];
    float sum = 0, dot = 0;
    for (int64_t i = lane * N; i < d; i += kWarp * N) {
      const Floats<N> a = load_vector<N>(in + i), w = load_vector<N>(weight + i), g = load_vector<N>(grad + i);
#pragma unroll
      for (int j = 0; j < N; ++j) {
        sum += w.v[j] * g.v[j];
        dot += (a.v[j] - mean) * w.v[j] * g.v[j];
      }
    }
    const float shared = warp_sum(sum) / static_cast<float>(d);
    const float slope = warp_sum(dot) * factor * factor / static_cast<float>(d);
    for (int64_t i = lane * N; i < d; i += kWarp * N) {
      const Floats<N> a = load_vector<N>(in + i), w = load_vector<N>(weight + i), g = load_vector<N>(grad + i);
      Floats<N> result;
      if (accumulate) result = load_vector<N>(out + i);
#pragma unroll
      for (int j = 0; j < N; ++j) {
        const float value = (w.v[j] * g.v[j] - shared - (a.v[j] - mean) * slope) * factor;
        result.v[j] = accumulate ? result.v[j] + value : value;
        d_weight[i + j] += (a.v[j] - mean) * factor * g.v[j];
        d_bias[i + j] += g.v[j];
      }
      store_vector(out + i, result);
    }
  }
  add_up_warps(partial, 2 * d);
}

// ---- launchers -----------------------------------------------------------------------------------------------------

void layer_norm_forward(Context& ctx, Tensor y, Tensor statistics, ConstTensor x, ConstTensor weight, ConstTensor bias,
                        double eps) {
  const int64_t rows = x.dim(0), d = x.dim(1);
  for_type(x.dtype, [&]<class T>(T) {
    T* out = y.as<T>();
    const T *in = x.as<T>(), *w = weight.as<T>(), *b = bias.as<T>();
    const auto kernel =
        in_vectors<T>(d, out, in, w, b) ? layer_norm_forward_kernel<T, kPerVector<T>> : layer_norm_forward_kernel<T, 1>;
    launch(ctx, kernel, blocks_for(rows, kThreads / kWarp), kThreads, 0, out, statistics.as<float>(), in, w, b, rows, d,
           static_cast<float>(eps));
  });
}

void layer_norm_backward(Context& ctx, Tensor d_x, Tensor d_weight, Tensor d_bias, ConstTensor d_y, ConstTensor x,
                         ConstTensor weight, ConstTensor statistics, bool accumulate) {
  const int64_t rows = x.dim(0), d = x.dim(1);
  ScratchScope scratch(ctx);
  const int warps = static_cast<int>(std::clamp<int64_t>(static_cast<int64_t>(kMostShared) / (8 * d), 1, 8));
  const int blocks = static_cast<int>(std::min<int64_t>(2 * kPartials, (rows + warps - 1) / warps));
  float* partial = scratch.allocate(Shape{blocks, 2 * d}, DType::f32).as<float>();
  for_type(x.dtype, [&]<class T>(T) {
    T* out = d_x.as<T>();
    const T *grad = d_y.as<T>(), *in = x.as<T>(), *w = weight.as<T>();
    const auto kernel = in_vectors<T>(d, out, grad, in, w) ? layer_norm_backward_kernel<T, kPerVector<T>>
                                                           : layer_norm_backward_kernel<T, 1>;
    launch(ctx, kernel, dim3(static_cast<unsigned>(blocks)), warps * kWarp,
           static_cast<size_t>(2 * warps * d) * sizeof(float), out, partial, grad, in, w, statistics.as<float>(), rows,
           d, accumulate);
  });
  add_partials(ctx, d_weight.as<float>(), partial, d, 2 * d, blocks);
  add_partials(ctx, d_bias.as<float>(), partial + d, d, 2 * d, blocks);
}

}  // namespace moe::cuda
