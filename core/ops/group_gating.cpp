#include "core/ops/group_gating.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/ops/dispatch.h"

namespace moe {
namespace cpu {

struct Range {
  int64_t begin, end;
};
static Range range_of(int64_t group, int64_t groups, int64_t experts) {
  return {group * experts / groups, (group + 1) * experts / groups};
}

template <class T>
static T log_sum_exp(const T* x, Range range) {
  const T largest = *std::max_element(x + range.begin, x + range.end);
  T sum = 0;
  for (int64_t e = range.begin; e < range.end; ++e) sum += std::exp(x[e] - largest);
  return largest + std::log(sum);
}

}  // namespace cpu

void group_logits_forward(Context& ctx, Tensor logits, ConstTensor outer, ConstTensor inner) {
  const int64_t tokens = inner.dim(0), experts = inner.dim(1), groups = outer.dim(1);
  MOE_CHECK(groups >= 1 && groups <= experts, "cannot divide into {} groups: there are {} experts", groups, experts);
  MOE_CHECK_SHAPE(logits, {tokens, experts});
  MOE_CHECK_SHAPE(outer, {tokens, groups});
  if (on_cuda(ctx)) return cuda::group_logits_forward(ctx, logits, outer, inner);
  run(ctx, inner.dtype, [&]<class T>(T) {
    T* z = logits.as<T>();
    const T *a = outer.as<T>(), *b = inner.as<T>();
#pragma omp parallel for schedule(static)
    for (int64_t t = 0; t < tokens; ++t) {
      for (int64_t g = 0; g < groups; ++g) {
        const cpu::Range range = cpu::range_of(g, groups, experts);
        const T offset = a[t * groups + g] - cpu::log_sum_exp(b + t * experts, range);
        for (int64_t e = range.begin; e < range.end; ++e) z[t * experts + e] = offset + b[t * experts + e];
      }
    }
  });
}

void group_logits_backward(Context& ctx, Tensor d_outer, Tensor d_inner, ConstTensor d_logits, ConstTensor inner) {
  const int64_t tokens = inner.dim(0), experts = inner.dim(1), groups = d_outer.dim(1);
  MOE_CHECK_SHAPE(d_outer, {tokens, groups});
  MOE_CHECK_SHAPE(d_inner, {tokens, experts});
  MOE_CHECK_SHAPE(d_logits, {tokens, experts});
  if (on_cuda(ctx)) return cuda::group_logits_backward(ctx, d_outer, d_inner, d_logits, inner);
  run(ctx, inner.dtype, [&]<class T>(T) {
    T *d_a = d_outer.as<T>(), *d_b = d_inner.as<T>();
    const T *d_z = d_logits.as<T>(), *b = inner.as<T>();
#pragma omp parallel for schedule(static)
    for (int64_t t = 0; t < tokens; ++t) {
      for (int64_t g = 0; g < groups; ++g) {
        const cpu::Range range = cpu::range_of(g, groups, experts);
        const T lse = cpu::log_sum_exp(b + t * experts, range);
        T sum = 0;
        for (int64_t e = range.begin; e < range.end; ++e) sum += d_z[t * experts + e];
        d_a[t * groups + g] = sum;
        for (int64_t e = range.begin; e < range.end; ++e) {
          const int64_t i = t * experts + e;
          d_b[i] = d_z[i] - std::exp(b[i] - lse) * sum;
        }
      }
    }
  });
}

void select_within_groups(Context& ctx, Tensor indices, ConstTensor chosen_groups, ConstTensor scores, int64_t groups,
                          int64_t k) {
  const int64_t tokens = scores.dim(0), experts = scores.dim(1), chosen = chosen_groups.dim(1);
  MOE_CHECK_SHAPE(indices, {tokens, chosen * k});
  MOE_CHECK_SHAPE(chosen_groups, {tokens, chosen});
  MOE_CHECK(k >= 1 && k <= experts / groups, "cannot choose {} experts from groups of {}", k, experts / groups);
  if (on_cuda(ctx)) return cuda::select_within_groups(ctx, indices, chosen_groups, scores, groups, k);
  run(ctx, scores.dtype, [&]<class T>(T) {
    const T* s = scores.as<T>();
    const int32_t* group = chosen_groups.as<int32_t>();
    int32_t* index = indices.as<int32_t>();
#pragma omp parallel for schedule(static)
    for (int64_t t = 0; t < tokens; ++t) {
      const auto number = [&](int64_t e) {
        const T score = s[t * experts + e];
        return std::isnan(score) ? -std::numeric_limits<T>::infinity() : score;
      };
      for (int64_t c = 0; c < chosen; ++c) {
        const cpu::Range range = cpu::range_of(group[t * chosen + c], groups, experts);
        int32_t* best = index + (t * chosen + c) * k;
        int64_t count = 0;
        for (int64_t e = range.begin; e < range.end; ++e) {  // kept sorted
          if (count == k && !(number(e) > number(best[k - 1]))) continue;
          int64_t at = count < k ? count++ : k - 1;
          for (; at > 0 && number(e) > number(best[at - 1]); --at) best[at] = best[at - 1];
          best[at] = static_cast<int32_t>(e);
        }
      }
    }
  });
}

}  // namespace moe
