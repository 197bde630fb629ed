#include "core/ops/posterior.h"

#include <algorithm>
#include <cmath>

#include "core/ops/dispatch.h"

namespace moe {

void square_forward(Context& ctx, Tensor y, ConstTensor x) {
  MOE_CHECK(y.shape == x.shape, "{} squares of {}", y.shape.to_string(), x.shape.to_string());
  if (on_cuda(ctx)) return cuda::square_forward(ctx, y, x);
  run(ctx, x.dtype, [&]<class T>(T) {
    const T* in = x.as<T>();
    T* out = y.as<T>();
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < x.size(); ++i) out[i] = in[i] * in[i];
  });
}

void square_backward(Context& ctx, Tensor d_x, ConstTensor d_y, ConstTensor x) {
  MOE_CHECK(d_x.shape == x.shape && d_y.shape == x.shape, "gradients {} and {} of {}", d_x.shape.to_string(),
            d_y.shape.to_string(), x.shape.to_string());
  if (on_cuda(ctx)) return cuda::square_backward(ctx, d_x, d_y, x);
  run(ctx, x.dtype, [&]<class T>(T) {
    const T *in = x.as<T>(), *d = d_y.as<T>();
    T* out = d_x.as<T>();
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < x.size(); ++i) out[i] += 2 * in[i] * d[i];
  });
}

void variance_forward(Context& ctx, Tensor variance, ConstTensor log_deviation) {
  MOE_CHECK(variance.size() == log_deviation.size(), "{} variances of {} deviations", variance.size(),
            log_deviation.size());
  if (on_cuda(ctx)) return cuda::variance_forward(ctx, variance, log_deviation);
  run(ctx, variance.dtype, [&]<class T>(T) {
    const T* in = log_deviation.as<T>();
    T* out = variance.as<T>();
    for (int64_t i = 0; i < variance.size(); ++i) out[i] = std::exp(2 * in[i]);
  });
}

void variance_backward(Context& ctx, Tensor d_log_deviation, ConstTensor d_variance, ConstTensor log_deviation) {
  MOE_CHECK(d_log_deviation.size() == log_deviation.size() && d_variance.size() == log_deviation.size(),
            "{} and {} gradients of {} deviations", d_log_deviation.size(), d_variance.size(), log_deviation.size());
  if (on_cuda(ctx)) return cuda::variance_backward(ctx, d_log_deviation, d_variance, log_deviation);
  run(ctx, d_variance.dtype, [&]<class T>(T) {
    const T *in = log_deviation.as<T>(), *d = d_variance.as<T>();
    T* out = d_log_deviation.as<T>();
    for (int64_t i = 0; i < d_variance.size(); ++i) out[i] += 2 * std::exp(2 * in[i]) * d[i];
  });
}

void sample_logits_forward(Context& ctx, Tensor logits, Tensor variance, const RandomKey* key, int64_t first_token) {
  const int64_t tokens = logits.dim(0), experts = logits.dim(1);
  MOE_CHECK_SHAPE(variance, {tokens, experts});
  if (on_cuda(ctx)) return cuda::sample_logits_forward(ctx, logits, variance, key, first_token);
  run(ctx, logits.dtype, [&]<class T>(T) {
    T *z = logits.as<T>(), *v = variance.as<T>();
    const RandomKey* draws = key;
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < tokens * experts; ++i) {
      v[i] = std::sqrt(std::max(v[i], T(0)));
      if (draws) z[i] += v[i] * static_cast<T>(draws->normal(static_cast<uint64_t>(first_token * experts + i)));
    }
  });
}

void sample_logits_backward(Context& ctx, Tensor d_variance, ConstTensor d_logits, ConstTensor deviation,
                            const RandomKey* key, int64_t first_token) {
  const int64_t tokens = d_logits.dim(0), experts = d_logits.dim(1);
  MOE_CHECK_SHAPE(d_variance, {tokens, experts});
  MOE_CHECK_SHAPE(deviation, {tokens, experts});
  if (on_cuda(ctx)) return cuda::sample_logits_backward(ctx, d_variance, d_logits, deviation, key, first_token);
  run(ctx, d_logits.dtype, [&]<class T>(T) {
    T* d_v = d_variance.as<T>();
    const T *d_z = d_logits.as<T>(), *s = deviation.as<T>();
    const RandomKey* draws = key;
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < tokens * experts; ++i) {
      const bool varies = draws && s[i] > 0;
      d_v[i] =
          varies ? d_z[i] * static_cast<T>(draws->normal(static_cast<uint64_t>(first_token * experts + i))) / (2 * s[i])
                 : T(0);
    }
  });
}

void gaussian_kl_sum(Context& ctx, Tensor sum, ConstTensor mean, ConstTensor log_deviation, double prior,
                     double factor) {
  MOE_CHECK(mean.size() == log_deviation.size(), "{} means, {} deviations", mean.size(), log_deviation.size());
  MOE_CHECK_SHAPE(sum, {1});
  if (on_cuda(ctx)) return cuda::gaussian_kl_sum(ctx, sum, mean, log_deviation, prior, factor);
  run(ctx, mean.dtype, [&]<class T>(T) {
    const T *m = mean.as<T>(), *r = log_deviation.as<T>();
    double total = 0;
    for (int64_t i = 0; i < mean.size(); ++i) {
      const double ratio = std::exp(2 * static_cast<double>(r[i])) / (prior * prior),
                   distance = static_cast<double>(m[i]) / prior;
      total += 0.5 * (ratio + distance * distance - 1) + std::log(prior) - static_cast<double>(r[i]);
    }
    sum.as<double>()[0] += factor * total;
  });
}

void gaussian_kl_backward(Context& ctx, Tensor d_mean, Tensor d_log_deviation, ConstTensor mean,
                          ConstTensor log_deviation, double prior, double factor) {
  MOE_CHECK(
      mean.size() == log_deviation.size() && d_mean.size() == mean.size() && d_log_deviation.size() == mean.size(),
      "{} and {} gradients of {} means and {} deviations", d_mean.size(), d_log_deviation.size(), mean.size(),
      log_deviation.size());
  if (on_cuda(ctx)) {
    return cuda::gaussian_kl_backward(ctx, d_mean, d_log_deviation, mean, log_deviation, prior, factor);
  }
  run(ctx, mean.dtype, [&]<class T>(T) {
    const T *m = mean.as<T>(), *r = log_deviation.as<T>();
    T *d_m = d_mean.as<T>(), *d_r = d_log_deviation.as<T>();
    const T f = static_cast<T>(factor), precision = static_cast<T>(1 / (prior * prior));
    for (int64_t i = 0; i < mean.size(); ++i) {
      d_m[i] += f * precision * m[i];
      d_r[i] += f * (precision * std::exp(2 * r[i]) - 1);
    }
  });
}

// The member that a token draws.
static int64_t drawn(const MemberDraw& draw, int64_t t, int64_t members) {
  const int64_t number = (draw.first_token + t) / draw.tokens_per_draw;
  return static_cast<int64_t>(draw.key->words(static_cast<uint64_t>(number))[0] % static_cast<uint64_t>(members));
}

void choose_member_forward(Context& ctx, Tensor logits, Tensor deviation, ConstTensor all, const MemberDraw& draw) {
  const int64_t tokens = logits.dim(0), experts = logits.dim(1), members = experts > 0 ? all.dim(1) / experts : 0;
  MOE_CHECK_SHAPE(deviation, {tokens, experts});
  MOE_CHECK_SHAPE(all, {tokens, experts * members});
  if (on_cuda(ctx)) return cuda::choose_member_forward(ctx, logits, deviation, all, draw);
  run(ctx, logits.dtype, [&]<class T>(T) {
    T *z = logits.as<T>(), *s = deviation.as<T>();
    const T* each = all.as<T>();
    const MemberDraw& by = draw;
    const T share = T(1) / static_cast<T>(members);
#pragma omp parallel for schedule(static)
    for (int64_t t = 0; t < tokens; ++t) {
      const int64_t member = by.key ? drawn(by, t, members) : -1;
      for (int64_t i = t * experts; i < (t + 1) * experts; ++i) {
        const T* own = each + i * members;
        T mean = 0, squares = 0;
        for (int64_t m = 0; m < members; ++m) mean += share * own[m];
        for (int64_t m = 0; m < members; ++m) squares += share * (own[m] - mean) * (own[m] - mean);
        z[i] = member < 0 ? mean : own[member];
        s[i] = std::sqrt(squares);
      }
    }
  });
}

void choose_member_backward(Context& ctx, Tensor d_all, ConstTensor d_logits, const MemberDraw& draw) {
  const int64_t tokens = d_logits.dim(0), experts = d_logits.dim(1), members = experts > 0 ? d_all.dim(1) / experts : 0;
  MOE_CHECK_SHAPE(d_all, {tokens, experts * members});
  if (on_cuda(ctx)) return cuda::choose_member_backward(ctx, d_all, d_logits, draw);
  run(ctx, d_logits.dtype, [&]<class T>(T) {
    T* each = d_all.as<T>();
    const T* d_z = d_logits.as<T>();
    const MemberDraw& by = draw;
    const T share = T(1) / static_cast<T>(members);
#pragma omp parallel for schedule(static)
    for (int64_t t = 0; t < tokens; ++t) {
      const int64_t member = by.key ? drawn(by, t, members) : -1;
      for (int64_t i = t * experts; i < (t + 1) * experts; ++i) {
        for (int64_t m = 0; m < members; ++m) {
          each[i * members + m] = member < 0 ? share * d_z[i] : m == member ? d_z[i] : T(0);
        }
      }
    }
  });
}

void chosen_deviation(Context& ctx, Tensor uncertainty, ConstTensor deviation, ConstTensor indices) {
  const int64_t tokens = deviation.dim(0), experts = deviation.dim(1), slots = indices.dim(1);
  MOE_CHECK_SHAPE(uncertainty, {tokens});
  MOE_CHECK_SHAPE(indices, {tokens, slots});
  if (on_cuda(ctx)) return cuda::chosen_deviation(ctx, uncertainty, deviation, indices);
  run(ctx, deviation.dtype, [&]<class T>(T) {
    T* out = uncertainty.as<T>();
    const T* s = deviation.as<T>();
    const int32_t* chosen = indices.as<int32_t>();
#pragma omp parallel for schedule(static)
    for (int64_t t = 0; t < tokens; ++t) {
      T sum = 0;
      int64_t filled = 0;
      for (int64_t j = t * slots; j < (t + 1) * slots; ++j) {
        if (chosen[j] < 0) continue;
        sum += s[t * experts + chosen[j]];
        ++filled;
      }
      out[t] = filled > 0 ? sum / static_cast<T>(filled) : T(0);
    }
  });
}

}  // namespace moe
