#include "core/ops/hierarchy.h"

#include <algorithm>
#include <cmath>

#include "core/base/token.h"
#include "core/ops/dispatch.h"

namespace moe {
namespace cpu {

// The slot in which a token chose the group, -1 if it did not.
static int64_t slot_of(const int32_t* choices, int64_t count, int64_t group) {
  for (int64_t j = 0; j < count; ++j) {
    if (choices[j] == group) return j;
  }
  return -1;
}

}  // namespace cpu

void targets_in_group(Context& ctx, Tensor inside, ConstTensor targets, ConstTensor choices, int64_t group) {
  const int64_t tokens = targets.dim(0), count = choices.dim(1);
  MOE_CHECK_SHAPE(inside, {tokens});
  if (on_cuda(ctx)) return cuda::targets_in_group(ctx, inside, targets, choices, group);
  run(ctx, DType::f32, [&]<class T>(T) {
    const int32_t *target = targets.as<int32_t>(), *choice = choices.as<int32_t>();
    int32_t* out = inside.as<int32_t>();
#pragma omp parallel for schedule(static)
    for (int64_t t = 0; t < tokens; ++t) {
      out[t] = cpu::slot_of(choice + t * count, count, group) < 0 ? kIgnoreTarget : target[t];
    }
  });
}

void compose_group(Context& ctx, Tensor log_probabilities, Tensor indices, Tensor weights, Tensor skip, int64_t group,
                   int64_t first, const GroupChoice& groups, const GroupChoice& inner) {
  const int64_t tokens = inner.logits.dim(0), n = inner.logits.dim(1), k = inner.indices.dim(1);
  const int64_t num_groups = groups.logits.dim(1), chosen = groups.indices.dim(1);
  const int64_t experts = log_probabilities.dim(1), m = indices.dim(1) / chosen;
  MOE_CHECK(first >= 0 && first + n <= experts && k <= m,
            "a group of {} experts from expert {} on, with {} slots of {}, does not fit", n, first, k, m);
  MOE_CHECK_SHAPE(indices, {tokens, chosen * m});
  MOE_CHECK_SHAPE(weights, {tokens, chosen * m});
  if (on_cuda(ctx))
    return cuda::compose_group(ctx, log_probabilities, indices, weights, skip, group, first, groups, inner);
  run(ctx, log_probabilities.dtype, [&]<class T>(T) {
    const T *z = inner.logits.as<T>(), *lse = inner.logsumexp.as<T>(), *w = inner.weights.as<T>();
    const T *group_z = groups.logits.as<T>(), *group_lse = groups.logsumexp.as<T>(), *group_w = groups.weights.as<T>();
    const int32_t *index = inner.indices.as<int32_t>(), *choice = groups.indices.as<int32_t>();
    T *log_p = log_probabilities.as<T>(), *out_w = weights.as<T>();
    int32_t* out_index = indices.as<int32_t>();
    const T* inner_skip = inner.skip ? inner.skip.as<T>() : nullptr;
    T* out_skip = inner.skip ? skip.as<T>() : nullptr;
#pragma omp parallel for schedule(static)
    for (int64_t t = 0; t < tokens; ++t) {
      const T offset = group_z[t * num_groups + group] - group_lse[t] - lse[t];
      for (int64_t e = 0; e < n; ++e) log_p[t * experts + first + e] = z[t * n + e] + offset;
      for (int64_t j = 0; group == 0 && j < chosen; ++j) {  // a slot without a group has no experts
        if (choice[t * chosen + j] >= 0) continue;
        std::fill_n(out_index + (t * chosen + j) * m, m, -1);
        std::fill_n(out_w + (t * chosen + j) * m, m, T(0));
      }
      const int64_t slot = cpu::slot_of(choice + t * chosen, chosen, group);
      if (slot < 0) continue;
      if (inner_skip) out_skip[t] += group_w[t * chosen + slot] * inner_skip[t];
      for (int64_t j = 0; j < m; ++j) {
        const int64_t to = (t * chosen + slot) * m + j;
        const bool empty = j >= k || index[t * k + j] < 0;
        out_index[to] = empty ? -1 : static_cast<int32_t>(first) + index[t * k + j];
        out_w[to] = empty ? T(0) : group_w[t * chosen + slot] * w[t * k + j];
      }
    }
  });
}

void compose_group_backward(Context& ctx, Tensor d_inner_logits, Tensor d_inner_weights, Tensor d_inner_skip,
                            Tensor d_group_log_probabilities, Tensor d_group_weights, ConstTensor d_log_probabilities,
                            ConstTensor d_weights, ConstTensor d_skip, int64_t group, int64_t first,
                            const GroupChoice& groups, const GroupChoice& inner) {
  const int64_t tokens = inner.logits.dim(0), n = inner.logits.dim(1), k = inner.indices.dim(1);
  const int64_t num_groups = groups.logits.dim(1), chosen = groups.indices.dim(1);
  const int64_t experts = d_log_probabilities.dim(1), m = d_weights.dim(1) / chosen;
  MOE_CHECK_SHAPE(d_inner_logits, {tokens, n});
  MOE_CHECK_SHAPE(d_inner_weights, {tokens, k});
  MOE_CHECK_SHAPE(d_group_log_probabilities, {tokens, num_groups});
  MOE_CHECK_SHAPE(d_group_weights, {tokens, chosen});
  if (on_cuda(ctx))
    return cuda::compose_group_backward(ctx, d_inner_logits, d_inner_weights, d_inner_skip, d_group_log_probabilities,
                                        d_group_weights, d_log_probabilities, d_weights, d_skip, group, first, groups,
                                        inner);
  run(ctx, d_inner_logits.dtype, [&]<class T>(T) {
    const T *z = inner.logits.as<T>(), *lse = inner.logsumexp.as<T>(), *w = inner.weights.as<T>();
    const T* group_w = groups.weights.as<T>();
    const int32_t* choice = groups.indices.as<int32_t>();
    const T *d_log_p = d_log_probabilities.as<T>(), *d_w = d_weights.as<T>();
    T *d_z = d_inner_logits.as<T>(), *d_inner_w = d_inner_weights.as<T>();
    const T* inner_skip = inner.skip ? inner.skip.as<T>() : nullptr;
    const T* d_from_skip = inner.skip ? d_skip.as<T>() : nullptr;
    T* d_to_skip = inner.skip ? d_inner_skip.as<T>() : nullptr;
    T *d_group_log_p = d_group_log_probabilities.as<T>(), *d_group_w = d_group_weights.as<T>();
#pragma omp parallel for schedule(static)
    for (int64_t t = 0; t < tokens; ++t) {
      const T* d = d_log_p + t * experts + first;
      T sum = 0;
      for (int64_t e = 0; e < n; ++e) sum += d[e];
      for (int64_t e = 0; e < n; ++e) d_z[t * n + e] += d[e] - std::exp(z[t * n + e] - lse[t]) * sum;
      d_group_log_p[t * num_groups + group] += sum;
      const int64_t slot = cpu::slot_of(choice + t * chosen, chosen, group);
      T dot = 0;
      for (int64_t j = 0; j < k; ++j) {
        const T from = slot < 0 ? T(0) : d_w[(t * chosen + slot) * m + j];
        d_inner_w[t * k + j] = slot < 0 ? T(0) : group_w[t * chosen + slot] * from;
        dot += w[t * k + j] * from;
      }
      if (inner_skip) {
        d_to_skip[t] = slot < 0 ? T(0) : group_w[t * chosen + slot] * d_from_skip[t];
        dot += slot < 0 ? T(0) : inner_skip[t] * d_from_skip[t];
      }
      if (slot >= 0) d_group_w[t * chosen + slot] += dot;
    }
  });
}

}  // namespace moe
