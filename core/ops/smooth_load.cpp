#include "core/ops/smooth_load.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "core/base/token.h"
#include "core/ops/dispatch.h"

namespace moe {
namespace cpu {

// Lower bound of the deviation: the probability is then a step function, but finite.
constexpr double kLeastDeviation = 1e-6;

// The experts with the k-th and the next largest of a token's noisy logits.
struct Threshold {
  int64_t kth = -1, next = -1;  // indices of experts; next stays -1 if all are chosen

  template <class T>
  Threshold(const T* noisy, const int32_t* chosen, int64_t experts, int64_t slots) {
    const auto before = [&](int64_t a, int64_t b) { return noisy[a] > noisy[b] || (noisy[a] == noisy[b] && a < b); };
    const auto k = static_cast<int64_t>(std::count_if(chosen, chosen + slots, [](int32_t e) { return e >= 0; }));
    for (int64_t e = 0; e < experts; ++e) {
      int64_t rank = 0;
      for (int64_t other = 0; other < experts; ++other) rank += before(other, e);
      if (rank == k - 1) kth = e;
      if (rank == k) next = e;
    }
  }
  // The expert whose noisy logit expert e must exceed to be chosen; -1 for none.
  template <class T>
  int64_t of(const T* noisy, int64_t e) const {
    if (next < 0 || kth < 0) return -1;
    const bool inside = noisy[e] > noisy[kth] || e == kth || (noisy[e] == noisy[kth] && e < kth);
    return inside ? next : kth;
  }
};

}  // namespace cpu

static void check(ConstTensor sums, ConstTensor clean, ConstTensor noisy, ConstTensor deviation, ConstTensor indices,
                  ConstTensor targets) {
  const int64_t tokens = clean.dim(0), experts = clean.dim(1);
  MOE_CHECK_SHAPE(sums, {experts});
  MOE_CHECK_SHAPE(noisy, {tokens, experts});
  MOE_CHECK_SHAPE(deviation, {tokens, experts});
  MOE_CHECK_SHAPE(targets, {tokens});
  MOE_CHECK(indices.dim(0) == tokens, "indices has {} rows, which differs from the number of tokens", indices.dim(0));
}

void smooth_load_sums(Context& ctx, Tensor sums, ConstTensor clean, ConstTensor noisy, ConstTensor deviation,
                      ConstTensor indices, ConstTensor targets) {
  check(sums, clean, noisy, deviation, indices, targets);
  const int64_t tokens = clean.dim(0), experts = clean.dim(1), slots = indices.dim(1);
  if (on_cuda(ctx)) return cuda::smooth_load_sums(ctx, sums, clean, noisy, deviation, indices, targets);
  run(ctx, clean.dtype, [&]<class T>(T) {
    const int32_t* target = targets.as<int32_t>();
    double* sum = sums.as<double>();
    for (int64_t t = 0; t < tokens; ++t) {
      if (target[t] == kIgnoreTarget) continue;
      const T *c = clean.as<T>() + t * experts, *h = noisy.as<T>() + t * experts, *s = deviation.as<T>() + t * experts;
      const cpu::Threshold threshold(h, indices.as<int32_t>() + t * slots, experts, slots);
      for (int64_t e = 0; e < experts; ++e) {
        const int64_t rival = threshold.of(h, e);
        const double sigma = std::max(static_cast<double>(s[e]), cpu::kLeastDeviation);
        sum[e] +=
            rival < 0
                ? 1
                : 0.5 * std::erfc((static_cast<double>(h[rival]) - static_cast<double>(c[e])) / sigma * M_SQRT1_2);
      }
    }
  });
}

void smooth_load_backward(Context& ctx, Tensor d_noisy, Tensor d_deviation, ConstTensor clean, ConstTensor noisy,
                          ConstTensor deviation, ConstTensor indices, ConstTensor gradient, ConstTensor targets) {
  check(gradient, clean, noisy, deviation, indices, targets);
  const int64_t tokens = clean.dim(0), experts = clean.dim(1), slots = indices.dim(1);
  MOE_CHECK_SHAPE(d_noisy, {tokens, experts});
  MOE_CHECK_SHAPE(d_deviation, {tokens, experts});
  if (on_cuda(ctx))
    return cuda::smooth_load_backward(ctx, d_noisy, d_deviation, clean, noisy, deviation, indices, gradient, targets);
  run(ctx, clean.dtype, [&]<class T>(T) {
    const int32_t* target = targets.as<int32_t>();
    const double* g = gradient.as<double>();
#pragma omp parallel for schedule(static)
    for (int64_t t = 0; t < tokens; ++t) {
      if (target[t] == kIgnoreTarget) continue;
      const T *c = clean.as<T>() + t * experts, *h = noisy.as<T>() + t * experts, *s = deviation.as<T>() + t * experts;
      T *d_h = d_noisy.as<T>() + t * experts, *d_s = d_deviation.as<T>() + t * experts;
      const cpu::Threshold threshold(h, indices.as<int32_t>() + t * slots, experts, slots);
      for (int64_t e = 0; e < experts; ++e) {
        const int64_t rival = threshold.of(h, e);
        if (rival < 0) continue;
        const double sigma = std::max(static_cast<double>(s[e]), cpu::kLeastDeviation);
        const double u = (static_cast<double>(c[e]) - static_cast<double>(h[rival])) / sigma;
        const double slope = g[e] * std::exp(-0.5 * u * u) / (std::sqrt(2 * std::numbers::pi) * sigma);
        const double noise = (static_cast<double>(h[e]) - static_cast<double>(c[e])) / sigma;
        d_h[e] += static_cast<T>(slope);
        d_h[rival] -= static_cast<T>(slope);
        d_s[e] -= static_cast<T>(slope * (u + noise));
      }
    }
  });
}

}  // namespace moe
