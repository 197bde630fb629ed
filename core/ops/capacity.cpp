#include "core/ops/capacity.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/base/integer.h"
#include "core/base/token.h"
#include "core/ops/dispatch.h"

namespace moe {

static void check_assignments(ConstTensor kept, ConstTensor demand, ConstTensor lost, ConstTensor indices,
                              ConstTensor weights, const TokenGroups& groups) {
  const int64_t tokens = indices.dim(0), k = indices.dim(1), experts = demand.dim(1);
  MOE_CHECK_SHAPE(kept, {tokens, k});
  MOE_CHECK_SHAPE(weights, {tokens, k});
  MOE_CHECK_SHAPE(lost, {tokens});
  MOE_CHECK_SHAPE(demand, {groups.count, experts});
  MOE_CHECK_DTYPE(kept, DType::i32);
  MOE_CHECK_DTYPE(demand, DType::i32);
  MOE_CHECK_DTYPE(lost, DType::i32);
  MOE_CHECK(groups.count * groups.size == tokens, "{} groups of {} tokens do not cover {} tokens", groups.count,
            groups.size, tokens);
}

void limit_assignments(Context& ctx, Tensor kept, Tensor demand, Tensor lost, ConstTensor indices, ConstTensor weights,
                       const TokenGroups& groups, const GroupRoom& room, DropRule rule) {
  check_assignments(kept, demand, lost, indices, weights, groups);
  const int64_t k = indices.dim(1), experts = demand.dim(1);
  if (on_cuda(ctx)) {
    return cuda::limit_assignments(ctx, kept, demand, lost, indices, weights, groups, room, rule);
  }
  run(ctx, weights.dtype, [&]<class T>(T) {
    const int32_t* expert = indices.as<int32_t>();
    const T* weight = weights.as<T>();
    int32_t *out = kept.as<int32_t>(), *lost_rows = lost.as<int32_t>();
    // clang 16 does not capture variables that are only used by a lambda inside a parallel loop.
    const bool by_position = rule == DropRule::position;
#pragma omp parallel for schedule(static)
    for (int64_t g = 0; g < groups.count; ++g) {
      thread_local std::vector<int64_t> begin, slots;  // first slot of each expert; slots sorted by expert
      const auto slot = [&](int64_t place, int64_t j) { return groups.token(g, place) * k + j; };
      const auto is_padding = [&](int64_t s) { return !groups.counts(s / k); };
      const auto goes_first = [&](int64_t a, int64_t b) {
        if (is_padding(a) != is_padding(b)) return is_padding(b);
        if (by_position) return a % k != b % k ? a % k < b % k : a < b;
        const T left = weight[a], right = weight[b];
        if (std::isnan(left) || std::isnan(right)) {
          return std::isnan(left) == std::isnan(right) ? a < b : std::isnan(right);
        }
        return left != right ? left > right : a < b;
      };
      const int64_t capacity = room.of(groups.counted(g));
      int32_t* wanted = demand.as<int32_t>() + g * experts;
      std::fill_n(wanted, experts, 0);
      begin.assign(static_cast<size_t>(experts) + 2, 0);
      slots.resize(static_cast<size_t>(groups.size * k));
      for (int64_t place = 0; place < groups.size; ++place) {
        for (int64_t j = 0; j < k; ++j) {
          const int64_t s = slot(place, j);
          out[s] = expert[s];
          if (expert[s] < 0) continue;
          ++begin[static_cast<size_t>(expert[s]) + 2];
          wanted[expert[s]] += !is_padding(s);
        }
      }
      for (size_t e = 2; e < begin.size(); ++e) begin[e] += begin[e - 1];
      for (int64_t place = 0; place < groups.size; ++place) {
        for (int64_t j = 0; j < k; ++j) {
          const int64_t s = slot(place, j);
          if (expert[s] >= 0) slots[as_index(begin[static_cast<size_t>(expert[s]) + 1]++)] = s;
        }
      }
      for (size_t e = 0; e < static_cast<size_t>(experts); ++e) {
        const auto first = slots.begin() + begin[e], last = slots.begin() + begin[e + 1];
        if (last - first <= capacity) continue;
        std::nth_element(first, first + capacity, last, goes_first);
        for (auto s = first + capacity; s != last; ++s) {
          out[*s] = -1;
          if (!is_padding(*s)) ++lost_rows[*s / k];
        }
      }
    }
  });
}

static void check_weights(ConstTensor y, ConstTensor weights, ConstTensor indices, ConstTensor kept) {
  MOE_CHECK(y.shape == weights.shape && indices.shape == weights.shape && kept.shape == weights.shape,
            "shapes differ: y {}, weights {}, indices {}, kept {}", y.shape.to_string(), weights.shape.to_string(),
            indices.shape.to_string(), kept.shape.to_string());
  MOE_CHECK_DTYPE(y, weights.dtype);
}

namespace {

// Sums of one token's weights: over all choices, and over the kept ones.
template <class T>
struct Sums {
  T all = 0, kept = 0;
  Sums(const T* weight, const int32_t* index, const int32_t* left, int64_t k) {
    for (int64_t j = 0; j < k; ++j) {
      if (index[j] >= 0) all += weight[j];
      if (left[j] >= 0) kept += weight[j];
    }
  }
};

}  // namespace

void renormalise_after_drop_forward(Context& ctx, Tensor y, ConstTensor weights, ConstTensor indices,
                                    ConstTensor kept) {
  check_weights(y, weights, indices, kept);
  if (on_cuda(ctx)) return cuda::renormalise_after_drop_forward(ctx, y, weights, indices, kept);
  const int64_t tokens = weights.dim(0), k = weights.dim(1);
  run(ctx, weights.dtype, [&]<class T>(T) {
    const T* w = weights.as<T>();
    const int32_t *index = indices.as<int32_t>(), *left = kept.as<int32_t>();
    T* out = y.as<T>();
#pragma omp parallel for schedule(static)
    for (int64_t t = 0; t < tokens; ++t) {
      const Sums<T> sum(w + t * k, index + t * k, left + t * k, k);
      const T scale = sum.kept == 0 ? T(1) : sum.all / sum.kept;
      for (int64_t s = t * k; s < (t + 1) * k; ++s) out[s] = left[s] < 0 ? T(0) : w[s] * scale;
    }
  });
}

// y_j = w_j A / K gives dL/dw_i = [i kept] (g_i A / K - S A / K^2) + S / K, where S = sum over the kept of g_j w_j.
void renormalise_after_drop_backward(Context& ctx, Tensor d_weights, ConstTensor weights, ConstTensor indices,
                                     ConstTensor kept) {
  check_weights(d_weights, weights, indices, kept);
  if (on_cuda(ctx)) return cuda::renormalise_after_drop_backward(ctx, d_weights, weights, indices, kept);
  const int64_t tokens = weights.dim(0), k = weights.dim(1);
  run(ctx, weights.dtype, [&]<class T>(T) {
    const T* w = weights.as<T>();
    const int32_t *index = indices.as<int32_t>(), *left = kept.as<int32_t>();
    T* d = d_weights.as<T>();
#pragma omp parallel for schedule(static)
    for (int64_t t = 0; t < tokens; ++t) {
      const Sums<T> sum(w + t * k, index + t * k, left + t * k, k);
      const bool scaled = sum.kept != 0;
      const T scale = scaled ? sum.all / sum.kept : T(1);
      T dot = 0;
      for (int64_t s = t * k; s < (t + 1) * k; ++s) dot += left[s] < 0 ? T(0) : d[s] * w[s];
      const T shared = scaled ? dot / sum.kept : T(0);
      for (int64_t s = t * k; s < (t + 1) * k; ++s) {
        d[s] = left[s] >= 0 ? (d[s] - shared) * scale + shared : index[s] >= 0 ? shared : T(0);
      }
    }
  });
}

LossByDrops loss_by_drops(Context& ctx, ConstTensor losses, ConstTensor lost, ConstTensor targets) {
  const int64_t n = losses.size(), per = n > 0 ? lost.size() / n : 1;
  MOE_CHECK(n == targets.size() && n * per == lost.size(), "{} losses, {} counts, {} targets", n, lost.size(),
            targets.size());
  MOE_CHECK_DTYPE(lost, DType::i32);
  if (on_cuda(ctx)) return cuda::loss_by_drops(ctx, losses, lost, targets);
  LossByDrops sums;
  run(ctx, losses.dtype, [&]<class T>(T) {
    const T* loss = losses.as<T>();
    const int32_t *rows = lost.as<int32_t>(), *target = targets.as<int32_t>();
    for (int64_t i = 0; i < n; ++i) {
      if (target[i] == kIgnoreTarget) continue;
      const bool dropped = std::any_of(rows + i * per, rows + (i + 1) * per, [](int32_t count) { return count > 0; });
      (dropped ? sums.lost_loss : sums.kept_loss) += static_cast<double>(loss[i]);
      (dropped ? sums.lost_tokens : sums.kept_tokens) += 1;
    }
  });
  return sums;
}

}  // namespace moe
