#include "core/ops/pooling.h"

#include <algorithm>

#include "core/base/token.h"
#include "core/ops/dispatch.h"

namespace moe {

static int64_t time_of(ConstTensor pooled, ConstTensor x, ConstTensor targets) {
  const int64_t sequences = pooled.dim(0), tokens = x.dim(0);
  MOE_CHECK(pooled.dim(1) == x.dim(1) && (sequences == 0 ? tokens == 0 : tokens % sequences == 0),
            "shapes do not fit: pooled {}, x {}", pooled.shape.to_string(), x.shape.to_string());
  MOE_CHECK_SHAPE(targets, {tokens});
  MOE_CHECK_DTYPE(targets, DType::i32);
  return sequences == 0 ? 0 : tokens / sequences;
}

// The weight of each token of a sequence in the sequence's pooled row.
struct Shares {
  const int32_t* targets;  // targets of the sequence's tokens
  Pooling pooling;
  double each;        // weight of each non-padding token in a mean
  int64_t last = -1;  // last non-padding token

  Shares(const int32_t* target, int64_t time, Pooling p) : targets(target), pooling(p) {
    int64_t counted = 0;
    for (int64_t t = 0; t < time; ++t) {
      if (target[t] == kIgnoreTarget) continue;
      ++counted;
      last = t;
    }
    each = counted > 0 ? 1 / static_cast<double>(counted) : 0;
  }
  double operator()(int64_t place) const {
    if (pooling == Pooling::class_token) return place == 0 ? 1 : 0;
    if (pooling == Pooling::last) return place == last ? 1 : 0;
    return targets[place] == kIgnoreTarget ? 0 : each;
  }
};

void pool_forward(Context& ctx, Tensor pooled, ConstTensor x, ConstTensor targets, Pooling pooling) {
  const int64_t time = time_of(pooled, x, targets), d = x.dim(1), sequences = pooled.dim(0);
  if (on_cuda(ctx)) return cuda::pool_forward(ctx, pooled, x, targets, pooling);
  run(ctx, x.dtype, [&]<class T>(T) {
    const T* from = x.as<T>();
    T* to = pooled.as<T>();
#pragma omp parallel for schedule(static)
    for (int64_t s = 0; s < sequences; ++s) {
      const Shares shares(targets.as<int32_t>() + s * time, time, pooling);
      std::fill_n(to + s * d, d, T(0));
      for (int64_t t = 0; t < time; ++t) {
        const auto share = static_cast<T>(shares(t));
        if (share == 0) continue;
#pragma omp simd
        for (int64_t i = 0; i < d; ++i) to[s * d + i] += share * from[(s * time + t) * d + i];
      }
    }
  });
}

void pool_backward(Context& ctx, Tensor d_x, ConstTensor d_pooled, ConstTensor targets, Pooling pooling) {
  const int64_t time = time_of(d_pooled, d_x, targets), d = d_x.dim(1), sequences = d_pooled.dim(0);
  if (on_cuda(ctx)) return cuda::pool_backward(ctx, d_x, d_pooled, targets, pooling);
  run(ctx, d_x.dtype, [&]<class T>(T) {
    const T* from = d_pooled.as<T>();
    T* to = d_x.as<T>();
#pragma omp parallel for schedule(static)
    for (int64_t s = 0; s < sequences; ++s) {
      const Shares shares(targets.as<int32_t>() + s * time, time, pooling);
      for (int64_t t = 0; t < time; ++t) {
        const auto share = static_cast<T>(shares(t));
#pragma omp simd
        for (int64_t i = 0; i < d; ++i) to[(s * time + t) * d + i] = share * from[s * d + i];
      }
    }
  });
}

}  // namespace moe
