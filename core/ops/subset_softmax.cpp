#include "core/ops/subset_softmax.h"

#include <algorithm>
#include <cmath>

#include "core/ops/dispatch.h"

namespace moe {

static bool contains(const int32_t* begin, const int32_t* end, int64_t i) {
  return std::find(begin, end, static_cast<int32_t>(i)) != end;
}

void subset_softmax(Context& ctx, Tensor probabilities, Tensor logsumexp, ConstTensor logits, ConstTensor indices,
                    bool chosen) {
  const int64_t tokens = logits.dim(0), n = logits.dim(1), k = indices.dim(1);
  MOE_CHECK_SHAPE(probabilities, {tokens, n});
  MOE_CHECK_SHAPE(logsumexp, {tokens});
  MOE_CHECK_SHAPE(indices, {tokens, k});
  MOE_CHECK_DTYPE(indices, DType::i32);
  MOE_CHECK_DTYPE(probabilities, logits.dtype);
  if (on_cuda(ctx)) return cuda::subset_softmax(ctx, probabilities, logsumexp, logits, indices, chosen);
  run(ctx, logits.dtype, [&]<class T>(T) {
    const T* z = logits.as<T>();
    T *p = probabilities.as<T>(), *lse = logsumexp.as<T>();
    const int32_t* index = indices.as<int32_t>();
#pragma omp parallel for schedule(static)
    for (int64_t t = 0; t < tokens; ++t) {
      const int32_t *begin = index + t * k, *end = begin + k;
      T largest = -INFINITY;
      for (int64_t i = 0; i < n; ++i) {
        if (contains(begin, end, i) == chosen) largest = std::max(largest, z[t * n + i]);
      }
      T sum = 0;
      for (int64_t i = 0; i < n; ++i) {
        const bool counts = largest > -INFINITY && contains(begin, end, i) == chosen;
        p[t * n + i] = counts ? std::exp(z[t * n + i] - largest) : T(0);
        sum += p[t * n + i];
      }
      for (int64_t i = 0; i < n && sum > 0; ++i) p[t * n + i] /= sum;
      lse[t] = sum > 0 ? largest + std::log(sum) : T(0);
    }
  });
}

}  // namespace moe
