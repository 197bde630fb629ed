#include "core/ops/class_contrast.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/base/token.h"
#include "core/ops/dispatch.h"

namespace moe {

static void check_classes(ConstTensor scores, ConstTensor query_classes, ConstTensor candidate_classes) {
  MOE_CHECK_SHAPE(query_classes, {scores.dim(0)});
  MOE_CHECK_SHAPE(candidate_classes, {scores.dim(1)});
  MOE_CHECK_DTYPE(query_classes, DType::i32);
  MOE_CHECK_DTYPE(candidate_classes, DType::i32);
}

// ln(1 + e^x) and its derivative.
template <class T>
static T softplus(T x) {
  return std::max(x, T(0)) + std::log1p(std::exp(-std::abs(x)));
}
template <class T>
static T sigmoid(T x) {
  return 1 / (1 + std::exp(-x));
}

void class_contrast_forward(Context& ctx, Tensor losses, Tensor correct, Tensor statistics, ConstTensor scores,
                            ConstTensor query_classes, ConstTensor candidate_classes) {
  const int64_t rows = scores.dim(0), n = scores.dim(1);
  check_classes(scores, query_classes, candidate_classes);
  MOE_CHECK_SHAPE(losses, {rows});
  MOE_CHECK_SHAPE(correct, {rows});
  MOE_CHECK_SHAPE(statistics, {rows, kContrastColumns});
  if (on_cuda(ctx))
    return cuda::class_contrast_forward(ctx, losses, correct, statistics, scores, query_classes, candidate_classes);
  run(ctx, scores.dtype, [&]<class T>(T) {
    const int32_t *queries = query_classes.as<int32_t>(), *candidates = candidate_classes.as<int32_t>();
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < rows; ++i) {
      const T* score = scores.as<T>() + i * n;
      constexpr T kNone = -std::numeric_limits<T>::infinity();
      T best_hit = kNone, best_other = kNone;
      int64_t hits = 0;
      const bool counts = queries[i] != kIgnoreTarget;
      for (int64_t j = 0; counts && j < n; ++j) {
        if (candidates[j] == kIgnoreTarget) continue;
        const bool hit = candidates[j] == queries[i];
        hits += hit;
        (hit ? best_hit : best_other) = std::max(hit ? best_hit : best_other, score[j]);
      }
      T sum = 0, loss = 0, pull = 0;
      for (int64_t j = 0; counts && j < n; ++j) {
        if (candidates[j] != kIgnoreTarget && candidates[j] != queries[i]) sum += std::exp(score[j] - best_other);
      }
      const T others = best_other == kNone ? kNone : best_other + std::log(sum);
      for (int64_t j = 0; hits > 0 && j < n; ++j) {
        if (candidates[j] != queries[i]) continue;
        loss += others == kNone ? T(0) : softplus(others - score[j]);
        pull += others == kNone ? T(0) : sigmoid(others - score[j]);
      }
      const T each = hits > 0 ? 1 / static_cast<T>(hits) : T(0);
      losses.as<T>()[i] = each * loss;
      correct.as<int32_t>()[i] = best_hit > best_other;
      T* const row = statistics.as<T>() + i * kContrastColumns;
      row[0] = counts ? others : T(0), row[1] = each * pull, row[2] = each;
    }
  });
}

void class_contrast_backward(Context& ctx, Tensor scores, ConstTensor query_statistics,
                             ConstTensor candidate_statistics, ConstTensor query_classes, ConstTensor candidate_classes,
                             double factor) {
  const int64_t rows = scores.dim(0), n = scores.dim(1);
  check_classes(scores, query_classes, candidate_classes);
  MOE_CHECK_SHAPE(query_statistics, {rows, kContrastColumns});
  MOE_CHECK_SHAPE(candidate_statistics, {n, kContrastColumns});
  if (on_cuda(ctx))
    return cuda::class_contrast_backward(ctx, scores, query_statistics, candidate_statistics, query_classes,
                                         candidate_classes, factor);
  run(ctx, scores.dtype, [&]<class T>(T) {
    const int32_t *queries = query_classes.as<int32_t>(), *candidates = candidate_classes.as<int32_t>();
    const T scale = static_cast<T>(factor);
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < rows; ++i) {
      T* const score = scores.as<T>() + i * n;
      const T* own = query_statistics.as<T>() + i * kContrastColumns;
      for (int64_t j = 0; j < n; ++j) {
        const T *other = candidate_statistics.as<T>() + j * kContrastColumns, s = score[j];
        T gradient = 0;
        if (queries[i] == kIgnoreTarget || candidates[j] == kIgnoreTarget) {
          gradient = 0;
        } else if (queries[i] == candidates[j]) {
          gradient = -own[2] * sigmoid(own[0] - s) - other[2] * sigmoid(other[0] - s);
        } else {
          gradient = own[1] * std::exp(s - own[0]) + other[1] * std::exp(s - other[0]);
        }
        score[j] = scale * gradient;
      }
    }
  });
}

}  // namespace moe
