#include "core/ops/router_noise.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/ops/dispatch.h"

namespace moe {

// The RNG counter for element i of n of a token. All draws in this file use it except drop_experts.
static uint64_t element(int64_t first_token, int64_t t, int64_t n, int64_t i) {
  return static_cast<uint64_t>((first_token + t) * n + i);
}

void jitter(Context& ctx, Tensor x, double amplitude, const RandomKey& key, int64_t first_token) {
  const int64_t tokens = x.dim(0), d = x.dim(1);
  if (on_cuda(ctx)) return cuda::jitter(ctx, x, amplitude, key, first_token);
  run(ctx, x.dtype, [&]<class T>(T) {
    T* p = x.as<T>();
    const T a = static_cast<T>(amplitude);
#pragma omp parallel for schedule(static)
    for (int64_t t = 0; t < tokens; ++t) {
      for (int64_t i = 0; i < d; ++i) {
        const T u = static_cast<T>(key.uniform(element(first_token, t, d, i)));
        p[t * d + i] *= T(1) + a * (T(2) * u - T(1));
      }
    }
  });
}

void drop_experts(Context& ctx, Tensor logits, double rate, int64_t keep, const RandomKey& key, int64_t first_token,
                  int64_t tokens_per_draw) {
  const int64_t tokens = logits.dim(0), experts = logits.dim(1);
  MOE_CHECK(keep >= 1 && keep <= experts, "cannot keep {} of {} experts", keep, experts);
  MOE_CHECK(tokens_per_draw >= 1, "tokens_per_draw must be at least 1, but is {}", tokens_per_draw);
  if (rate <= 0) return;
  const auto threshold = static_cast<uint32_t>(rate * 4294967296.0);
  if (on_cuda(ctx)) return cuda::drop_experts(ctx, logits, rate, keep, key, first_token, tokens_per_draw);
  run(ctx, logits.dtype, [&]<class T>(T) {
    T* z = logits.as<T>();
    // clang 16 does not capture variables that are only used by a lambda inside a parallel loop.
    const RandomKey& draws = key;
#pragma omp parallel for schedule(static)
    for (int64_t t = 0; t < tokens; ++t) {
      const int64_t draw = (first_token + t) / tokens_per_draw;
      const auto word = [&](int64_t e) { return draws.words(element(draw, 0, experts, e))[0]; };
      for (int64_t e = 0; e < experts; ++e) {
        const uint32_t mine = word(e);
        if (mine >= threshold) continue;
        // An expert is not dropped if fewer than `keep` experts drew a larger number; ties are decided by index.
        int64_t before = 0;
        for (int64_t other = 0; other < experts && before < keep; ++other) {
          const uint32_t theirs = word(other);
          before += theirs > mine || (theirs == mine && other < e);
        }
        if (before >= keep) z[t * experts + e] = -std::numeric_limits<T>::infinity();
      }
    }
  });
}

template <class T>
static T softplus(T x) {
  return std::max(x, T(0)) + std::log1p(std::exp(-std::abs(x)));
}

void noisy_logits_forward(Context& ctx, Tensor noisy, Tensor deviation, ConstTensor clean, ConstTensor raw,
                          double strength, const RandomKey* key, int64_t first_token) {
  const int64_t tokens = clean.dim(0), experts = clean.dim(1);
  MOE_CHECK_SHAPE(noisy, {tokens, experts});
  MOE_CHECK_SHAPE(deviation, {tokens, experts});
  MOE_CHECK_SHAPE(raw, {tokens, experts});
  if (on_cuda(ctx)) return cuda::noisy_logits_forward(ctx, noisy, deviation, clean, raw, strength, key, first_token);
  run(ctx, clean.dtype, [&]<class T>(T) {
    T *h = noisy.as<T>(), *sigma = deviation.as<T>();
    const T *z = clean.as<T>(), *r = raw.as<T>();
#pragma omp parallel for schedule(static)
    for (int64_t t = 0; t < tokens; ++t) {
      for (int64_t i = t * experts; i < (t + 1) * experts; ++i) {
        sigma[i] = static_cast<T>(strength) * softplus(r[i]);
        h[i] = z[i];
        if (key) h[i] += sigma[i] * static_cast<T>(key->normal(element(first_token, 0, experts, i)));
      }
    }
  });
}

void noisy_logits_backward(Context& ctx, Tensor d_raw, ConstTensor d_noisy, ConstTensor d_deviation, ConstTensor raw,
                           double strength, const RandomKey* key, int64_t first_token) {
  const int64_t tokens = raw.dim(0), experts = raw.dim(1);
  MOE_CHECK_SHAPE(d_raw, {tokens, experts});
  MOE_CHECK_SHAPE(d_noisy, {tokens, experts});
  MOE_CHECK_SHAPE(d_deviation, {tokens, experts});
  if (on_cuda(ctx))
    return cuda::noisy_logits_backward(ctx, d_raw, d_noisy, d_deviation, raw, strength, key, first_token);
  run(ctx, raw.dtype, [&]<class T>(T) {
    T* out = d_raw.as<T>();
    const T *d_h = d_noisy.as<T>(), *d_sigma = d_deviation.as<T>(), *r = raw.as<T>();
#pragma omp parallel for schedule(static)
    for (int64_t t = 0; t < tokens; ++t) {
      for (int64_t i = t * experts; i < (t + 1) * experts; ++i) {
        T d = d_sigma[i];
        if (key) d += d_h[i] * static_cast<T>(key->normal(element(first_token, 0, experts, i)));
        out[i] = static_cast<T>(strength) * d / (T(1) + std::exp(-r[i]));
      }
    }
  });
}

void drop_second(Context& ctx, Tensor indices, Tensor weights, const RandomKey& key, int64_t first_token) {
  const int64_t tokens = indices.dim(0);
  MOE_CHECK_SHAPE(indices, {tokens, 2});
  MOE_CHECK_SHAPE(weights, {tokens, 2});
  if (on_cuda(ctx)) return cuda::drop_second(ctx, indices, weights, key, first_token);
  run(ctx, weights.dtype, [&]<class T>(T) {
    int32_t* index = indices.as<int32_t>();
    T* w = weights.as<T>();
#pragma omp parallel for schedule(static)
    for (int64_t t = 0; t < tokens; ++t) {
      if (static_cast<T>(key.uniform(element(first_token, t, 1, 0))) < T(2) * w[2 * t + 1]) continue;
      index[2 * t + 1] = -1;
      w[2 * t + 1] = 0;
    }
  });
}

}  // namespace moe
