#include "core/ops/prototypes.h"

#include <algorithm>

#include "core/base/token.h"
#include "core/ops/dispatch.h"

namespace moe {

void expert_labels(Context& ctx, Tensor labels, ConstTensor indices, ConstTensor source, ConstTensor targets) {
  const int64_t rows = labels.dim(0), k = indices.dim(1);
  MOE_CHECK(source.size() >= rows, "{} elements in source, fewer than {} rows", source.size(), rows);
  if (on_cuda(ctx)) return cuda::expert_labels(ctx, labels, indices, source, targets);
  run(ctx, DType::f32, [&]<class T>(T) {
    const int32_t *expert = indices.as<int32_t>(), *slot = source.as<int32_t>(), *target = targets.as<int32_t>();
    int32_t* label = labels.as<int32_t>();
#pragma omp parallel for schedule(static)
    for (int64_t r = 0; r < rows; ++r) {
      label[r] = target[slot[r] / k] == kIgnoreTarget ? kIgnoreTarget : expert[slot[r]];
    }
  });
}

void update_prototypes(Context& ctx, Tensor prototypes, ConstTensor sums, ConstTensor counts, double decay) {
  const int64_t experts = prototypes.dim(0), d = prototypes.dim(1);
  MOE_CHECK_SHAPE(sums, {experts, d});
  MOE_CHECK_SHAPE(counts, {experts});
  if (on_cuda(ctx)) return cuda::update_prototypes(ctx, prototypes, sums, counts, decay);
  run(ctx, prototypes.dtype, [&]<class T>(T) {
    const double *in = sums.as<double>(), *number = counts.as<double>();
    T* out = prototypes.as<T>();
    for (int64_t e = 0; e < experts; ++e) {
      const double *sum = in + e * d, count = number[e];
      if (count == 0) continue;
      T* row = out + e * d;
      const bool fresh = std::all_of(row, row + d, [](T value) { return value == T(0); });
      const double keep = fresh ? 0 : decay;
      for (int64_t i = 0; i < d; ++i) {
        row[i] = static_cast<T>(keep * static_cast<double>(row[i]) + (1 - keep) * sum[i] / count);
      }
    }
  });
}

}  // namespace moe
