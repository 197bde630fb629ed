#include "core/ops/initialise.h"

#include "core/ops/dispatch.h"

namespace moe {

template <class Draw>
static void fill(Context& ctx, Tensor x, Draw draw) {
  run(ctx, x.dtype, [&]<class T>(T) {
    T* p = x.as<T>();
    const int64_t n = x.size();
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < n; ++i) p[i] = static_cast<T>(draw(i));
  });
}

void fill_constant(Context& ctx, Tensor x, double value) {
  if (on_cuda(ctx)) return cuda::fill_constant(ctx, x, value);
  fill(ctx, x, [=](int64_t) { return value; });
}

void fill_normal(Context& ctx, Tensor x, double standard_deviation, const RandomKey& key, int64_t first_element) {
  if (on_cuda(ctx)) return cuda::fill_normal(ctx, x, standard_deviation, key, first_element);
  fill(ctx, x, [=](int64_t i) { return standard_deviation * key.normal(static_cast<uint64_t>(first_element + i)); });
}

void fill_uniform(Context& ctx, Tensor x, double limit, const RandomKey& key, int64_t first_element) {
  if (on_cuda(ctx)) return cuda::fill_uniform(ctx, x, limit, key, first_element);
  fill(ctx, x, [=](int64_t i) { return limit * (2.0 * key.uniform(static_cast<uint64_t>(first_element + i)) - 1); });
}

}  // namespace moe
