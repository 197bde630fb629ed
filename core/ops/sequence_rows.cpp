#include "core/ops/sequence_rows.h"

#include <algorithm>

#include "core/ops/dispatch.h"

namespace moe {

static int64_t time_of(ConstTensor rows, ConstTensor y) {
  const int64_t sequences = rows.dim(0), tokens = y.dim(0);
  MOE_CHECK(rows.dim(1) == y.dim(1) && (sequences == 0 ? tokens == 0 : tokens % sequences == 0),
            "shapes do not fit: rows {}, tokens {}", rows.shape.to_string(), y.shape.to_string());
  return sequences == 0 ? 0 : tokens / sequences;
}

void add_sequence_rows(Context& ctx, Tensor y, ConstTensor rows) {
  const int64_t time = time_of(rows, y), n = y.dim(1), tokens = y.dim(0);
  if (on_cuda(ctx)) return cuda::add_sequence_rows(ctx, y, rows);
  run(ctx, y.dtype, [&]<class T>(T) {
    T* out = y.as<T>();
    const T* in = rows.as<T>();
#pragma omp parallel for schedule(static)
    for (int64_t t = 0; t < tokens; ++t) {
      for (int64_t i = 0; i < n; ++i) out[t * n + i] += in[t / time * n + i];
    }
  });
}

void sum_sequence_rows(Context& ctx, Tensor sums, ConstTensor y) {
  const int64_t time = time_of(sums, y), n = y.dim(1), sequences = sums.dim(0);
  if (on_cuda(ctx)) return cuda::sum_sequence_rows(ctx, sums, y);
  run(ctx, y.dtype, [&]<class T>(T) {
    T* out = sums.as<T>();
    const T* in = y.as<T>();
#pragma omp parallel for schedule(static)
    for (int64_t s = 0; s < sequences; ++s) {
      std::fill_n(out + s * n, n, T(0));
      for (int64_t t = s * time; t < (s + 1) * time; ++t) {
        for (int64_t i = 0; i < n; ++i) out[s * n + i] += in[t * n + i];
      }
    }
  });
}

void clamp_ids(Context& ctx, Tensor clamped, ConstTensor ids, int64_t bound) {
  MOE_CHECK_DTYPE(clamped, DType::i32);
  MOE_CHECK(bound >= 1 && (!ids || ids.size() == clamped.size()), "cannot clamp {} ids below {}", clamped.size(),
            bound);
  if (on_cuda(ctx)) return cuda::clamp_ids(ctx, clamped, ids, bound);
  run(ctx, DType::f32, [&]<class T>(T) {
    int32_t* out = clamped.as<int32_t>();
    for (int64_t i = 0; i < clamped.size(); ++i) {
      out[i] = ids ? std::min(ids.as<int32_t>()[i], static_cast<int32_t>(bound - 1)) : 0;
    }
  });
}

}  // namespace moe
