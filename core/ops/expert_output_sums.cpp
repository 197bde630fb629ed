#include "core/ops/expert_output_sums.h"

#include <algorithm>

#include "core/base/token.h"
#include "core/ops/dispatch.h"

namespace moe {

static void check(ConstTensor sums, ConstTensor rows, ConstTensor position, ConstTensor indices, ConstTensor targets) {
  MOE_CHECK(sums.dim(1) == rows.dim(1), "widths differ: sums {}, rows {}", sums.shape.to_string(),
            rows.shape.to_string());
  MOE_CHECK(position.shape == indices.shape, "shapes differ: position {}, indices {}", position.shape.to_string(),
            indices.shape.to_string());
  MOE_CHECK_SHAPE(targets, {indices.dim(0)});
}

void expert_output_sums(Context& ctx, Tensor sums, ConstTensor rows, ConstTensor position, ConstTensor indices,
                        ConstTensor targets) {
  check(sums, rows, position, indices, targets);
  const int64_t slots = indices.size(), k = indices.dim(1), d = rows.dim(1);
  if (on_cuda(ctx)) return cuda::expert_output_sums(ctx, sums, rows, position, indices, targets);
  run(ctx, rows.dtype, [&]<class T>(T) {
    const int32_t *row = position.as<int32_t>(), *expert = indices.as<int32_t>(), *target = targets.as<int32_t>();
    const T* in = rows.as<T>();
    double* out = sums.as<double>();
#pragma omp parallel for schedule(static)
    for (int64_t begin = 0; begin < d; begin += 8) {  // each thread sums its own columns in the order of the tokens
      const int64_t end = std::min(begin + 8, d);
      for (int64_t s = 0; s < slots; ++s) {
        if (row[s] < 0 || target[s / k] == kIgnoreTarget) continue;
        for (int64_t i = begin; i < end; ++i) out[expert[s] * d + i] += static_cast<double>(in[row[s] * d + i]);
      }
    }
  });
}

void expert_output_sums_backward(Context& ctx, Tensor d_rows, ConstTensor gradient, ConstTensor position,
                                 ConstTensor indices, ConstTensor targets) {
  check(gradient, d_rows, position, indices, targets);
  const int64_t slots = indices.size(), k = indices.dim(1), d = d_rows.dim(1);
  if (on_cuda(ctx)) return cuda::expert_output_sums_backward(ctx, d_rows, gradient, position, indices, targets);
  run(ctx, d_rows.dtype, [&]<class T>(T) {
    const int32_t *row = position.as<int32_t>(), *expert = indices.as<int32_t>(), *target = targets.as<int32_t>();
    const double* g = gradient.as<double>();
    T* out = d_rows.as<T>();
#pragma omp parallel for schedule(static)
    for (int64_t s = 0; s < slots; ++s) {
      if (row[s] < 0 || target[s / k] == kIgnoreTarget) continue;
      for (int64_t i = 0; i < d; ++i) out[row[s] * d + i] += static_cast<T>(g[expert[s] * d + i]);
    }
  });
}

}  // namespace moe
