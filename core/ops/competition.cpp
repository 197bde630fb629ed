#include "core/ops/competition.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/base/token.h"
#include "core/ops/dispatch.h"

namespace moe {
namespace cpu {

// Adds term(token) of all tokens except padding to `sum`, in a fixed order that does not depend on the threads.
template <class Term>
static void sum_over_tokens(Tensor sum, ConstTensor targets, Term term) {
  const int64_t tokens = targets.size();
  const int32_t* target = targets.as<int32_t>();
  thread_local std::vector<double> terms;
  terms.assign(static_cast<size_t>(tokens), 0.0);
  double* const out = terms.data();
#pragma omp parallel for schedule(static)
  for (int64_t t = 0; t < tokens; ++t) {
    if (target[t] != kIgnoreTarget) out[t] = term(t);
  }
  double total = 0;
  for (int64_t t = 0; t < tokens; ++t) total += out[t];
  sum.as<double>()[0] += total;
}

template <class T>
static T dot(const T* a, const T* b, int64_t n) {
  T sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

template <class T>
static T softplus(T x) {
  return std::max(x, T(0)) + std::log1p(std::exp(-std::abs(x)));
}

}  // namespace cpu

void choose_all(Context& ctx, Tensor indices) {
  const int64_t tokens = indices.dim(0), experts = indices.dim(1);
  MOE_CHECK_DTYPE(indices, DType::i32);
  if (on_cuda(ctx)) return cuda::choose_all(ctx, indices);
  run(ctx, DType::f32, [&]<class T>(T) {
    int32_t* index = indices.as<int32_t>();
#pragma omp parallel for schedule(static)
    for (int64_t t = 0; t < tokens; ++t) {
      for (int64_t e = 0; e < experts; ++e) index[t * experts + e] = static_cast<int32_t>(e);
    }
  });
}

void response_forward(Context& ctx, Tensor scores, ConstTensor rows, Response response) {
  const int64_t n = rows.dim(0), d = rows.dim(1);
  MOE_CHECK_SHAPE(scores, {n, 1});
  if (on_cuda(ctx)) return cuda::response_forward(ctx, scores, rows, response);
  run(ctx, rows.dtype, [&]<class T>(T) {
    const T* in = rows.as<T>();
    T* out = scores.as<T>();
#pragma omp parallel for schedule(static)
    for (int64_t r = 0; r < n; ++r) {
      const T* row = in + r * d;
      if (response == Response::norm) {
        out[r] = std::sqrt(cpu::dot(row, row, d));
        continue;
      }
      T sum = 0;
      for (int64_t i = 0; i < d; ++i) sum += cpu::softplus(row[i]);
      out[r] = sum / static_cast<T>(d);
    }
  });
}

void response_backward(Context& ctx, Tensor d_rows, ConstTensor d_scores, ConstTensor scores, ConstTensor rows,
                       Response response) {
  const int64_t n = rows.dim(0), d = rows.dim(1);
  MOE_CHECK_SHAPE(d_rows, {n, d});
  MOE_CHECK_SHAPE(d_scores, {n, 1});
  MOE_CHECK_SHAPE(scores, {n, 1});
  if (on_cuda(ctx)) return cuda::response_backward(ctx, d_rows, d_scores, scores, rows, response);
  run(ctx, rows.dtype, [&]<class T>(T) {
    const T *in = rows.as<T>(), *d_s = d_scores.as<T>(), *s = scores.as<T>();
    T* out = d_rows.as<T>();
#pragma omp parallel for schedule(static)
    for (int64_t r = 0; r < n; ++r) {
      if (d_s[r] == 0) continue;
      if (response == Response::norm) {
        const T factor = s[r] > 0 ? d_s[r] / s[r] : T(0);
#pragma omp simd
        for (int64_t i = r * d; i < (r + 1) * d; ++i) out[i] += factor * in[i];
      } else {
        const T factor = d_s[r] / static_cast<T>(d);
        for (int64_t i = r * d; i < (r + 1) * d; ++i) out[i] += factor / (T(1) + std::exp(-in[i]));
      }
    }
  });
}

void share_weights_forward(Context& ctx, Tensor weights, ConstTensor scores, ConstTensor indices) {
  const int64_t tokens = scores.dim(0), experts = scores.dim(1), k = indices.dim(1);
  MOE_CHECK_SHAPE(weights, {tokens, k});
  MOE_CHECK_SHAPE(indices, {tokens, k});
  if (on_cuda(ctx)) return cuda::share_weights_forward(ctx, weights, scores, indices);
  run(ctx, scores.dtype, [&]<class T>(T) {
    const T* s = scores.as<T>();
    const int32_t* index = indices.as<int32_t>();
    T* w = weights.as<T>();
#pragma omp parallel for schedule(static)
    for (int64_t t = 0; t < tokens; ++t) {
      T sum = 0;
      for (int64_t j = t * k; j < (t + 1) * k; ++j) sum += s[t * experts + index[j]];
      for (int64_t j = t * k; j < (t + 1) * k; ++j) w[j] = sum > 0 ? s[t * experts + index[j]] / sum : T(1) / T(k);
    }
  });
}

void share_weights_backward(Context& ctx, Tensor d_scores, ConstTensor d_weights, ConstTensor scores,
                            ConstTensor weights, ConstTensor indices) {
  const int64_t tokens = scores.dim(0), experts = scores.dim(1), k = indices.dim(1);
  MOE_CHECK_SHAPE(d_scores, {tokens, experts});
  MOE_CHECK_SHAPE(d_weights, {tokens, k});
  MOE_CHECK_SHAPE(weights, {tokens, k});
  if (on_cuda(ctx)) return cuda::share_weights_backward(ctx, d_scores, d_weights, scores, weights, indices);
  run(ctx, scores.dtype, [&]<class T>(T) {
    const T *s = scores.as<T>(), *w = weights.as<T>(), *d_w = d_weights.as<T>();
    const int32_t* index = indices.as<int32_t>();
    T* out = d_scores.as<T>();
#pragma omp parallel for schedule(static)
    for (int64_t t = 0; t < tokens; ++t) {
      T sum = 0, mean = 0;
      for (int64_t j = t * k; j < (t + 1) * k; ++j) {
        sum += s[t * experts + index[j]];
        mean += w[j] * d_w[j];
      }
      if (!(sum > 0)) continue;
      for (int64_t j = t * k; j < (t + 1) * k; ++j) out[t * experts + index[j]] += (d_w[j] - mean) / sum;
    }
  });
}

void spread_chosen(Context& ctx, Tensor all, ConstTensor values, ConstTensor indices) {
  const int64_t tokens = all.dim(0), experts = all.dim(1), k = indices.dim(1);
  MOE_CHECK_SHAPE(values, {tokens, k});
  if (on_cuda(ctx)) return cuda::spread_chosen(ctx, all, values, indices);
  run(ctx, all.dtype, [&]<class T>(T) {
    const T* in = values.as<T>();
    const int32_t* index = indices.as<int32_t>();
    T* out = all.as<T>();
#pragma omp parallel for schedule(static)
    for (int64_t t = 0; t < tokens; ++t) {
      std::fill(out + t * experts, out + (t + 1) * experts, T(0));
      for (int64_t j = t * k; j < (t + 1) * k; ++j) {
        if (index[j] >= 0) out[t * experts + index[j]] = in[j];
      }
    }
  });
}

void gather_chosen(Context& ctx, Tensor values, ConstTensor all, ConstTensor indices) {
  const int64_t tokens = all.dim(0), experts = all.dim(1), k = indices.dim(1);
  MOE_CHECK_SHAPE(values, {tokens, k});
  if (on_cuda(ctx)) return cuda::gather_chosen(ctx, values, all, indices);
  run(ctx, all.dtype, [&]<class T>(T) {
    const T* in = all.as<T>();
    const int32_t* index = indices.as<int32_t>();
    T* out = values.as<T>();
#pragma omp parallel for schedule(static)
    for (int64_t j = 0; j < tokens * k; ++j) out[j] = index[j] < 0 ? T(0) : in[j / k * experts + index[j]];
  });
}

void distillation_sum(Context& ctx, Tensor sum, ConstTensor p, ConstTensor q, ConstTensor indices, double chosen_weight,
                      ConstTensor targets) {
  const int64_t experts = p.dim(1), k = indices.dim(1);
  MOE_CHECK(p.shape == q.shape, "shapes of probabilities {} and targets {} differ", p.shape.to_string(),
            q.shape.to_string());
  MOE_CHECK_SHAPE(sum, {1});
  if (on_cuda(ctx)) return cuda::distillation_sum(ctx, sum, p, q, indices, chosen_weight, targets);
  run(ctx, p.dtype, [&]<class T>(T) {
    const T *is = p.as<T>(), *wanted = q.as<T>();
    const int32_t* index = indices.as<int32_t>();
    cpu::sum_over_tokens(sum, targets, [&](int64_t t) {
      double all = 0, chosen = 0;
      const auto square = [&](int64_t e) {
        const double difference =
            static_cast<double>(is[t * experts + e]) - static_cast<double>(wanted[t * experts + e]);
        return difference * difference;
      };
      for (int64_t e = 0; e < experts; ++e) all += square(e);
      for (int64_t j = t * k; j < (t + 1) * k; ++j) chosen += index[j] < 0 ? 0 : square(index[j]);
      return all / static_cast<double>(experts) + chosen_weight * chosen / static_cast<double>(k);
    });
  });
}

void distillation_backward(Context& ctx, Tensor d_logits, Tensor d_q, ConstTensor p, ConstTensor q, ConstTensor indices,
                           double chosen_weight, double factor, ConstTensor targets) {
  const int64_t tokens = p.dim(0), experts = p.dim(1), k = indices.dim(1);
  MOE_CHECK_SHAPE(d_logits, {tokens, experts});
  if (on_cuda(ctx))
    return cuda::distillation_backward(ctx, d_logits, d_q, p, q, indices, chosen_weight, factor, targets);
  run(ctx, p.dtype, [&]<class T>(T) {
    const T *is = p.as<T>(), *wanted = q.as<T>();
    const int32_t *index = indices.as<int32_t>(), *target = targets.as<int32_t>();
    T *d_z = d_logits.as<T>(), *d_w = d_q ? d_q.as<T>() : nullptr;
    const T over_all = static_cast<T>(2 * factor / static_cast<double>(experts)),
            over_chosen = static_cast<T>(2 * factor * chosen_weight / static_cast<double>(k));
#pragma omp parallel
    {
      thread_local std::vector<T> gradient;  // reused by all calls
      gradient.resize(static_cast<size_t>(experts));
      T* const d_p = gradient.data();
#pragma omp for schedule(static)
      for (int64_t t = 0; t < tokens; ++t) {
        if (target[t] == kIgnoreTarget) continue;
        const T *row = is + t * experts, *aim = wanted + t * experts;
        for (int64_t e = 0; e < experts; ++e) d_p[e] = over_all * (row[e] - aim[e]);
        for (int64_t j = t * k; j < (t + 1) * k; ++j) {
          if (index[j] >= 0) d_p[index[j]] += over_chosen * (row[index[j]] - aim[index[j]]);
        }
        const T mean = cpu::dot(d_p, row, experts);
        for (int64_t e = 0; e < experts; ++e) {
          d_z[t * experts + e] += row[e] * (d_p[e] - mean);
          if (d_w) d_w[t * experts + e] -= d_p[e];
        }
      }
    }
  });
}

void output_similarity_sum(Context& ctx, Tensor sum, ConstTensor rows, ConstTensor position, ConstTensor targets) {
  const int64_t d = rows.dim(1), k = position.dim(1);
  MOE_CHECK_SHAPE(sum, {1});
  if (on_cuda(ctx)) return cuda::output_similarity_sum(ctx, sum, rows, position, targets);
  run(ctx, rows.dtype, [&]<class T>(T) {
    const T* in = rows.as<T>();
    const int32_t* at = position.as<int32_t>();
    cpu::sum_over_tokens(sum, targets, [&](int64_t t) {
      double cosines = 0;
      for (int64_t i = t * k; i < (t + 1) * k; ++i) {
        for (int64_t j = t * k; j < i; ++j) {
          if (at[i] < 0 || at[j] < 0) continue;
          const T *a = in + at[i] * d, *b = in + at[j] * d;
          const double squares = static_cast<double>(cpu::dot(a, a, d)) * static_cast<double>(cpu::dot(b, b, d));
          if (squares > 0) cosines += static_cast<double>(cpu::dot(a, b, d)) / std::sqrt(squares);
        }
      }
      return 2 * cosines / static_cast<double>(k * k);
    });
  });
}

void output_similarity_backward(Context& ctx, Tensor d_rows, ConstTensor rows, ConstTensor position, double factor,
                                ConstTensor targets) {
  const int64_t d = rows.dim(1), tokens = position.dim(0), k = position.dim(1);
  MOE_CHECK(d_rows.shape == rows.shape, "shapes of d_rows {} and rows {} differ", d_rows.shape.to_string(),
            rows.shape.to_string());
  if (on_cuda(ctx)) return cuda::output_similarity_backward(ctx, d_rows, rows, position, factor, targets);
  run(ctx, rows.dtype, [&]<class T>(T) {
    const T* in = rows.as<T>();
    const int32_t *at = position.as<int32_t>(), *target = targets.as<int32_t>();
    T* out = d_rows.as<T>();
    const T scale = static_cast<T>(2 * factor / static_cast<double>(k * k));
#pragma omp parallel for schedule(static)  // each row belongs to one token
    for (int64_t t = 0; t < tokens; ++t) {
      if (target[t] == kIgnoreTarget) continue;
      for (int64_t i = t * k; i < (t + 1) * k; ++i) {
        for (int64_t j = t * k; j < i; ++j) {
          if (at[i] < 0 || at[j] < 0) continue;
          const T *a = in + at[i] * d, *b = in + at[j] * d;
          const T norm_a = std::sqrt(cpu::dot(a, a, d)), norm_b = std::sqrt(cpu::dot(b, b, d));
          if (!(norm_a > 0) || !(norm_b > 0)) continue;
          const T both = scale / (norm_a * norm_b), cosine = cpu::dot(a, b, d) * both;
          const T to_a = cosine / (norm_a * norm_a), to_b = cosine / (norm_b * norm_b);
          T *d_a = out + at[i] * d, *d_b = out + at[j] * d;
#pragma omp simd
          for (int64_t c = 0; c < d; ++c) {
            d_a[c] += both * b[c] - to_a * a[c];
            d_b[c] += both * a[c] - to_b * b[c];
          }
        }
      }
    }
  });
}

void topk_overlap_sum(Context& ctx, Tensor sum, ConstTensor a, ConstTensor b, ConstTensor targets) {
  const int64_t k = a.dim(1), m = b.dim(1);
  MOE_CHECK_SHAPE(sum, {1});
  if (on_cuda(ctx)) return cuda::topk_overlap_sum(ctx, sum, a, b, targets);
  run(ctx, DType::f32, [&]<class T>(T) {
    const int32_t *first = a.as<int32_t>(), *second = b.as<int32_t>();
    cpu::sum_over_tokens(sum, targets, [&](int64_t t) {
      int64_t chosen = 0, common = 0;
      for (int64_t i = t * k; i < (t + 1) * k; ++i) {
        if (first[i] < 0) continue;
        ++chosen;
        common += std::find(second + t * m, second + (t + 1) * m, first[i]) != second + (t + 1) * m;
      }
      return chosen == 0 ? 0.0 : static_cast<double>(common) / static_cast<double>(chosen);
    });
  });
}

}  // namespace moe
