#include "core/ops/elementwise.h"

#include <cmath>
#include <numeric>
#include <vector>

#include "core/tensor/copy.h"
#include "core/tensor/device.h"
#include "cuda/device/check.h"
#include "cuda/kernel/block.cuh"
#include "cuda/kernel/reduce.cuh"
#include "cuda/kernel/vector.cuh"

namespace moe::cuda {

static constexpr int kThreads = 256;

// y = a * factor_a + b * factor_b, N neighbours per thread
template <class T, int N>
__global__ void add_kernel(T* y, const T* a, const T* b, float factor_a, float factor_b, int64_t n) {
  const int64_t i = thread_in_grid() * N;
  if (i >= n) return;
  Floats<N> result = load_vector<N>(a + i);
  const Floats<N> other = load_vector<N>(b + i);
#pragma unroll
  for (int j = 0; j < N; ++j) result.v[j] = factor_a * result.v[j] + factor_b * other.v[j];
  store_vector(y + i, result);
}

template <class T>
__global__ void scale_kernel(T* x, float factor, int64_t n) {
  const int64_t i = thread_in_grid();
  if (i < n) store(x + i, factor * load(x + i));
}

template <class To, class From>
__global__ void convert_kernel(To* y, const From* x, int64_t n) {
  const int64_t i = thread_in_grid();
  if (i < n) store(y + i, load(x + i));
}

template <class T>
__global__ void complement_kernel(T* y, const T* x, int64_t n) {
  const int64_t i = thread_in_grid();
  if (i < n) store(y + i, 1.0f - load(x + i));
}

template <class T>
__global__ void tanh_forward_kernel(T* y, const T* x, int64_t n) {
  const int64_t i = thread_in_grid();
  if (i < n) store(y + i, tanhf(load(x + i)));
}

template <class T>
__global__ void tanh_backward_kernel(T* d_x, const T* d_y, const T* y, int64_t n) {
  const int64_t i = thread_in_grid();
  if (i < n) store(d_x + i, load(d_y + i) * (1.0f - load(y + i) * load(y + i)));
}

// One warp per row: y += factor * x
template <class T>
__global__ void add_scaled_rows_kernel(T* y, const T* x, const float* factors, int64_t rows, int64_t d) {
  const int64_t row = warp_in_grid();
  if (row >= rows) return;
  for (int64_t i = row * d + lane_index(); i < (row + 1) * d; i += kWarp) {
    store(y + i, load(y + i) + factors[row] * load(x + i));
  }
}

// One warp per row.
template <class T>
__global__ void row_dots_kernel(float* dots, const T* a, const T* b, int64_t rows, int64_t d) {
  const int64_t row = warp_in_grid();
  if (row >= rows) return;
  float sum = 0;
  for (int64_t i = row * d + lane_index(); i < (row + 1) * d; i += kWarp) sum += load(a + i) * load(b + i);
  sum = warp_sum(sum);
  if (lane_index() == 0) dots[row] = sum;
}

// Blocks take blockDim elements in turn; a thread adds its elements in f64, the block adds its threads in order.
template <class T, bool kSquares>
__global__ void sum_kernel(double* partial, const T* x, int64_t n) {
  double* slots = &shared_memory<double>();
  double sum = 0;
  for (int64_t i = thread_in_grid(); i < n; i += threads_in_grid()) {
    const double value = static_cast<double>(load(x + i));
    sum += kSquares ? value * value : value;
  }
  sum = block_sum(sum, slots);
  if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

// ---- launchers -----------------------------------------------------------------------------------------------------

void fill_zero(Context& ctx, Tensor x) {
  if (!ctx.planning && x.bytes() > 0) CUDA_CHECK(cudaMemsetAsync(x.data, 0, x.bytes(), ctx.queue->stream()));
}

void copy(Context& ctx, Tensor y, ConstTensor x) {
  if (!ctx.planning && x.bytes() > 0) copy_bytes(*ctx.queue, y.data, x.data, x.bytes(), Direction::on_device);
}

static void add(Context& ctx, Tensor y, ConstTensor a, ConstTensor b, double factor_a, double factor_b) {
  const int64_t n = y.size();
  for_type(y.dtype, [&]<class T>(T) {
    T* out = y.as<T>();
    const T *left = a.as<T>(), *right = b.as<T>();
    const bool vectors = in_vectors<T>(n, out, left, right);
    const auto kernel = vectors ? add_kernel<T, kPerVector<T>> : add_kernel<T, 1>;
    launch(ctx, kernel, blocks_for(n, kThreads * (vectors ? kPerVector<T> : 1)), kThreads, 0, out, left, right,
           static_cast<float>(factor_a), static_cast<float>(factor_b), n);
  });
}

void add(Context& ctx, Tensor y, ConstTensor a, ConstTensor b) {
  add(ctx, y, a, b, 1, 1);
}

void add_scaled(Context& ctx, Tensor y, ConstTensor x, double factor) {
  add(ctx, y, y, x, 1, factor);
}

void scale(Context& ctx, Tensor x, double factor) {
  for_type(x.dtype, [&]<class T>(T) {
    launch(ctx, scale_kernel<T>, blocks_for(x.size(), kThreads), kThreads, 0, x.as<T>(), static_cast<float>(factor),
           x.size());
  });
}

void convert(Context& ctx, Tensor y, ConstTensor x) {
  for_type(y.dtype, [&]<class To>(To) {
    for_type(x.dtype, [&]<class From>(From) {
      launch(ctx, convert_kernel<To, From>, blocks_for(x.size(), kThreads), kThreads, 0, y.as<To>(), x.as<From>(),
             x.size());
    });
  });
}

void complement(Context& ctx, Tensor y, ConstTensor x) {
  for_type(y.dtype, [&]<class T>(T) {
    launch(ctx, complement_kernel<T>, blocks_for(y.size(), kThreads), kThreads, 0, y.as<T>(), x.as<T>(), y.size());
  });
}

void tanh_forward(Context& ctx, Tensor y, ConstTensor x) {
  for_type(y.dtype, [&]<class T>(T) {
    launch(ctx, tanh_forward_kernel<T>, blocks_for(y.size(), kThreads), kThreads, 0, y.as<T>(), x.as<T>(), y.size());
  });
}

void tanh_backward(Context& ctx, Tensor d_x, ConstTensor d_y, ConstTensor y) {
  for_type(d_x.dtype, [&]<class T>(T) {
    launch(ctx, tanh_backward_kernel<T>, blocks_for(y.size(), kThreads), kThreads, 0, d_x.as<T>(), d_y.as<T>(),
           y.as<T>(), y.size());
  });
}

void add_scaled_rows(Context& ctx, Tensor y, ConstTensor x, ConstTensor factors) {
  const int64_t rows = y.dim(0), d = y.dim(1);
  for_type(y.dtype, [&]<class T>(T) {
    launch(ctx, add_scaled_rows_kernel<T>, blocks_for(rows, kThreads / kWarp), kThreads, 0, y.as<T>(), x.as<T>(),
           factors.as<float>(), rows, d);
  });
}

void row_dots(Context& ctx, Tensor dots, ConstTensor a, ConstTensor b) {
  const int64_t rows = a.dim(0), d = a.dim(1);
  for_type(a.dtype, [&]<class T>(T) {
    launch(ctx, row_dots_kernel<T>, blocks_for(rows, kThreads / kWarp), kThreads, 0, dots.as<float>(), a.as<T>(),
           b.as<T>(), rows, d);
  });
}

template <bool kSquares>
static double sum(Context& ctx, ConstTensor x) {
  ScratchScope scratch(ctx);
  const int blocks = partials_for(x.size(), kThreads, 4);
  const Tensor partial = scratch.allocate(Shape{blocks}, DType::f64);
  if (x.size() == 0) return 0;
  for_type(x.dtype, [&]<class T>(T) {
    launch(ctx, sum_kernel<T, kSquares>, dim3(static_cast<unsigned>(blocks)), kThreads, 32 * sizeof(double),
           partial.as<double>(), x.as<T>(), x.size());
  });
  if (ctx.planning) return 0;
  std::vector<char> bytes;
  const double* sums = on_host(ctx, partial, bytes).as<double>();
  return std::accumulate(sums, sums + partial.size(), 0.0);
}

double sum_of_squares(Context& ctx, ConstTensor x) {
  return sum<true>(ctx, x);
}

double sum_of_elements(Context& ctx, ConstTensor x) {
  return sum<false>(ctx, x);
}

}  // namespace moe::cuda
