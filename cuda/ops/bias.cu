#include "core/ops/bias.h"

#include <algorithm>

#include "cuda/device/launch.cuh"
#include "cuda/kernel/vector.cuh"
#include "cuda/kernel/warp.cuh"

namespace moe::cuda {

static constexpr int kThreads = 256;
// Rows of a group are summed in this number of contiguous parts, independently of the number of rows.
static constexpr int kParts = 32;

// The group of a row: the last one whose first row is not after it, so that empty groups are skipped.
static __device__ int64_t group_of(const int32_t* offsets, int64_t groups, int64_t row) {
  int64_t low = 0, high = groups - 1;
  while (low < high) {
    const int64_t middle = (low + high + 1) / 2;
    if (offsets[middle] <= row)
      low = middle;
    else
      high = middle - 1;
  }
  return low;
}

// One thread per element.
template <class T, class B>
__global__ void bias_forward_kernel(T* y, const B* bias, const int32_t* offsets, int64_t groups, int64_t rows,
                                    int64_t n) {
  const int64_t i = thread_in_grid();
  if (i >= rows * n) return;
  const int64_t row = i / n;
  if (offsets && (row < offsets[0] || row >= offsets[groups])) return;
  const int64_t group = offsets ? group_of(offsets, groups, row) : 0;
  store(y + i, load(y + i) + load(bias + group * n + i % n));
}

// One thread per column of a part of a group; partial (kParts, groups, n).
template <class T>
__global__ void bias_backward_kernel(float* partial, const T* d_y, const int32_t* offsets, int64_t groups, int64_t rows,
                                     int64_t n) {
  const int64_t i = thread_in_grid();
  if (i >= kParts * groups * n) return;
  const int64_t column = i % n, group = i / n % groups, part = i / n / groups;
  const int64_t first = offsets ? offsets[group] : 0, count = (offsets ? offsets[group + 1] : rows) - first;
  float sum = 0;
  for (int64_t row = first + part * count / kParts; row < first + (part + 1) * count / kParts; ++row)
    sum += load(d_y + row * n + column);
  partial[i] = sum;
}

// One thread per element, which adds the parts in order.
static __global__ void bias_backward_add_kernel(float* d_bias, const float* partial, int64_t elements,
                                                bool accumulate) {
  const int64_t i = thread_in_grid();
  if (i >= elements) return;
  float sum = 0;
  for (int part = 0; part < kParts; ++part) sum += partial[part * elements + i];
  d_bias[i] = accumulate ? d_bias[i] + sum : sum;
}

// ---- launchers -----------------------------------------------------------------------------------------------------

void bias_forward(Context& ctx, Tensor y, ConstTensor bias, ConstTensor offsets) {
  const int64_t groups = offsets ? offsets.dim(0) - 1 : 1;
  for_type(y.dtype, [&]<class T>(T) {
    for_type(bias.dtype, [&]<class B>(B) {
      launch(ctx, bias_forward_kernel<T, B>, blocks_for(y.size(), kThreads), kThreads, 0, y.as<T>(), bias.as<B>(),
             offsets ? offsets.as<int32_t>() : nullptr, groups, y.dim(0), y.dim(1));
    });
  });
}

void bias_backward(Context& ctx, Tensor d_bias, ConstTensor d_y, ConstTensor offsets, bool accumulate) {
  const int64_t groups = offsets ? offsets.dim(0) - 1 : 1, elements = d_bias.size();
  ScratchScope scratch(ctx);
  float* partial = scratch.allocate(Shape{kParts, elements}, DType::f32).as<float>();
  for_type(d_y.dtype, [&]<class T>(T) {
    launch(ctx, bias_backward_kernel<T>, blocks_for(kParts * elements, kThreads), kThreads, 0, partial, d_y.as<T>(),
           offsets ? offsets.as<int32_t>() : nullptr, groups, d_y.dim(0), d_y.dim(1));
  });
  launch(ctx, bias_backward_add_kernel, blocks_for(elements, kThreads), kThreads, 0, d_bias.as<float>(), partial,
         elements, accumulate);
}

}  // namespace moe::cuda
