#include "core/ops/dropout.h"

#include <vector>

#include "core/ops/dispatch.h"
#include "core/ops/kernels/drop_factors.h"

namespace moe {

static uint32_t threshold_of(double rate) {
  MOE_CHECK(rate < 1, "dropout rate must be below 1, but is {}", rate);
  return static_cast<uint32_t>(rate * 4294967296.0);
}

void dropout(Context& ctx, Tensor x, double rate, const RandomKey& key, int64_t first_row, ConstTensor ids) {
  const int64_t rows = x.dim(0), d = x.dim(1);
  MOE_CHECK_SHAPE(x, {rows, d});
  if (ids) MOE_CHECK_SHAPE(ids, {rows});
  if (rate <= 0) return;
  const uint32_t threshold = threshold_of(rate);
  if (on_cuda(ctx)) return cuda::dropout(ctx, x, rate, key, first_row, ids);
  run(ctx, x.dtype, [&]<class T>(T) {
    T* p = x.as<T>();
    const int32_t* id = ids ? ids.as<int32_t>() : nullptr;
    const T keep = static_cast<T>(1 / (1 - rate));
    const int64_t quads = (d + 3) / 4;
#pragma omp parallel
    {
      thread_local std::vector<T> factors;  // for one row; reused by all calls
      if (std::ssize(factors) < 4 * quads) factors.resize(static_cast<size_t>(4 * quads));
      const T* const factor = factors.data();
#pragma omp for schedule(static)
      for (int64_t r = 0; r < rows; ++r) {
        if (id && id[r] < 0) continue;
        const int64_t row = first_row + (id ? id[r] : r);
        cpu::drop_factors(factors.data(), key, static_cast<uint64_t>(row * quads), quads, threshold, keep);
#pragma omp simd
        for (int64_t i = 0; i < d; ++i) p[r * d + i] *= factor[i];
      }
    }
  });
}

void drop_groups(Context& ctx, Tensor x, double rate, const RandomKey& key, int64_t first_row, int64_t rows_per_draw) {
  const int64_t rows = x.dim(0), d = x.dim(1);
  MOE_CHECK_SHAPE(x, {rows, d});
  MOE_CHECK(rows_per_draw >= 1, "rows_per_draw must be at least 1, but is {}", rows_per_draw);
  if (rate <= 0) return;
  const uint32_t threshold = threshold_of(rate);
  if (on_cuda(ctx)) return cuda::drop_groups(ctx, x, rate, key, first_row, rows_per_draw);
  run(ctx, x.dtype, [&]<class T>(T) {
    T* p = x.as<T>();
    const T keep = static_cast<T>(1 / (1 - rate));
#pragma omp parallel for schedule(static)
    for (int64_t r = 0; r < rows; ++r) {
      const bool dropped = key.words(static_cast<uint64_t>((first_row + r) / rows_per_draw))[0] < threshold;
#pragma omp simd
      for (int64_t i = r * d; i < (r + 1) * d; ++i) p[i] *= dropped ? T(0) : keep;
    }
  });
}

}  // namespace moe
