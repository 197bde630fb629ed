#include "core/ops/bias.h"

#include <algorithm>

#include "core/ops/dispatch.h"

namespace moe {
namespace {

int64_t check(ConstTensor y, ConstTensor bias, ConstTensor offsets) {
  if (!offsets) {
    MOE_CHECK_SHAPE(bias, {y.dim(1)});
    return 1;
  }
  const int64_t groups = offsets.dim(0) - 1;
  MOE_CHECK_SHAPE(bias, {groups, y.dim(1)});
  MOE_CHECK_DTYPE(offsets, DType::i32);
  return groups;
}

// The rows of a group; all rows if there are no groups.
struct Groups {
  const int32_t* offsets;
  int64_t rows;
  int64_t begin(int64_t group) const { return offsets ? offsets[group] : 0; }
  int64_t end(int64_t group) const { return offsets ? offsets[group + 1] : rows; }
};

}  // namespace

void bias_forward(Context& ctx, Tensor y, ConstTensor bias, ConstTensor offsets) {
  const int64_t groups = check(y, bias, offsets), rows = y.dim(0), n = y.dim(1);
  if (on_cuda(ctx)) return cuda::bias_forward(ctx, y, bias, offsets);
  run(ctx, y.dtype, [&]<class T>(T) {
    const Groups all{offsets ? offsets.as<int32_t>() : nullptr, rows};
    T* const out = y.as<T>();
    const T* const b = bias.as<T>();
    for (int64_t g = 0; g < groups; ++g) {
#pragma omp parallel for schedule(static)
      for (int64_t r = all.begin(g); r < all.end(g); ++r) {
#pragma omp simd
        for (int64_t i = 0; i < n; ++i) out[r * n + i] += b[g * n + i];
      }
    }
  });
}

void bias_backward(Context& ctx, Tensor d_bias, ConstTensor d_y, ConstTensor offsets, bool accumulate) {
  const int64_t groups = check(d_y, d_bias, offsets), rows = d_y.dim(0), n = d_y.dim(1);
  if (on_cuda(ctx)) return cuda::bias_backward(ctx, d_bias, d_y, offsets, accumulate);
  run(ctx, d_y.dtype, [&]<class T>(T) {
    const Groups all{offsets ? offsets.as<int32_t>() : nullptr, rows};
    T* const out = d_bias.as<T>();
    const T* const in = d_y.as<T>();
    // Each thread sums some columns of a group, in the order of its rows, so the sum is the same for any number of
    // threads.
    constexpr int64_t kColumns = 64;
#pragma omp parallel for collapse(2) schedule(static)
    for (int64_t g = 0; g < groups; ++g) {
      for (int64_t begin = 0; begin < n; begin += kColumns) {
        const int64_t count = std::min(kColumns, n - begin);
        T sums[kColumns] = {};
        for (int64_t r = all.begin(g); r < all.end(g); ++r) {
#pragma omp simd
          for (int64_t i = 0; i < count; ++i) sums[i] += in[r * n + begin + i];
        }
        T* const to = out + g * n + begin;
        for (int64_t i = 0; i < count; ++i) to[i] = accumulate ? to[i] + sums[i] : sums[i];
      }
    }
  });
}

}  // namespace moe
