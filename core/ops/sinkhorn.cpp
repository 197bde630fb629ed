#include "core/ops/sinkhorn.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "core/base/integer.h"
#include "core/ops/dispatch.h"

namespace moe {
namespace cpu {

// ln of the sum of exp(value(i)) over i < n; -inf if all values are -inf.
template <class T, class Value>
static T log_sum_exp(int64_t n, Value value) {
  T largest = -std::numeric_limits<T>::infinity();
  for (int64_t i = 0; i < n; ++i) largest = std::max(largest, value(i));
  if (!std::isfinite(largest)) return largest;
  T sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += std::exp(value(i) - largest);
  return largest + std::log(sum);
}

}  // namespace cpu

void sinkhorn_scores(Context& ctx, Tensor scores, ConstTensor logits, const TokenGroups& groups, int64_t iterations) {
  const int64_t tokens = logits.dim(0), experts = logits.dim(1);
  MOE_CHECK_SHAPE(scores, {tokens, experts});
  MOE_CHECK(groups.count * groups.size == tokens, "{} groups of {} tokens do not cover {} tokens", groups.count,
            groups.size, tokens);
  if (on_cuda(ctx)) return cuda::sinkhorn_scores(ctx, scores, logits, groups, iterations);
  run(ctx, logits.dtype, [&]<class T>(T) {
    const T* z = logits.as<T>();
    T* out = scores.as<T>();
#pragma omp parallel for schedule(static)
    for (int64_t group = 0; group < groups.count; ++group) {
      thread_local std::vector<T> f, g;
      f.assign(static_cast<size_t>(groups.size), T(0));
      g.assign(static_cast<size_t>(experts), T(0));
      const auto row = [&](int64_t j) { return groups.token(group, j) * experts; };
      const auto counts = [&](int64_t j) { return groups.counts(groups.token(group, j)); };
      const int64_t counted = groups.counted(group);
      const T wanted = std::log(static_cast<T>(std::max<int64_t>(counted, 1)) / static_cast<T>(experts));
      for (int64_t round = 0; round < iterations && counted > 1; ++round) {
        for (int64_t j = 0; j < groups.size; ++j) {
          const T* mine = z + row(j);
          f[as_index(j)] = -cpu::log_sum_exp<T>(experts, [&](int64_t e) { return mine[e] + g[as_index(e)]; });
        }
        for (int64_t e = 0; e < experts; ++e) {
          const T mass = cpu::log_sum_exp<T>(groups.size, [&](int64_t j) {
            return counts(j) ? z[row(j) + e] + f[as_index(j)] : -std::numeric_limits<T>::infinity();
          });
          g[as_index(e)] = std::isfinite(mass) ? wanted - mass : T(0);
        }
      }
      for (int64_t j = 0; j < groups.size; ++j) {
        for (int64_t e = 0; e < experts; ++e) out[row(j) + e] = z[row(j) + e] + g[as_index(e)];
      }
    }
  });
}

}  // namespace moe
