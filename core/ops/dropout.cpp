#include "core/ops/dropout.h"

#include "core/ops/cpu_kernels.h"
#include "core/ops/dispatch.h"

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
    cpu::cpu_kernels<T>().dropout(x.as<T>(), rows, d,
                                  {.key = key,
                                   .threshold = threshold,
                                   .keep = static_cast<T>(1 / (1 - rate)),
                                   .first_row = first_row,
                                   .ids = ids ? ids.as<int32_t>() : nullptr});
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
