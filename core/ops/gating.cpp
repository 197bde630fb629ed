#include "core/ops/gating.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/ops/dispatch.h"
#include "core/ops/kernels/vector_math.h"

namespace moe {
namespace cpu {

// Computes the softmax of one row and returns its log-sum-exp.
template <class T>
static T softmax_row(T* p, const T* z, int64_t n) {
  T largest = z[0];
  for (int64_t i = 1; i < n; ++i) largest = std::max(largest, z[i]);
  T sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < n; ++i) {
    p[i] = fast_exp(z[i] - largest);
    sum += p[i];
  }
  const T inverse = T(1) / sum;
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) p[i] *= inverse;
  return largest + std::log(sum);
}

// Keeps the chosen experts sorted while scanning, because k is small. A later equal score never displaces an earlier
// one. Scores of -inf are never chosen. NaN ranks below all other scores but can be chosen, so that it does not go
// unnoticed.
template <class T>
static void top_k_row(int32_t* chosen, const T* z, int64_t n, int64_t k) {
  T best[64];
  const bool on_stack = k <= 64;
  auto number = [&](int64_t i) { return std::isnan(z[i]) ? std::numeric_limits<T>::lowest() : z[i]; };
  auto score = [&](int64_t rank) { return on_stack ? best[rank] : number(chosen[rank]); };
  int64_t count = 0;
  for (int64_t i = 0; i < n; ++i) {
    const T value = number(i);
    if (value == -std::numeric_limits<T>::infinity()) continue;
    if (count == k && !(value > score(k - 1))) continue;
    int64_t at = count < k ? count++ : k - 1;
    for (; at > 0 && value > score(at - 1); --at) {
      chosen[at] = chosen[at - 1];
      if (on_stack) best[at] = best[at - 1];
    }
    chosen[at] = static_cast<int32_t>(i);
    if (on_stack) best[at] = value;
  }
  std::fill(chosen + count, chosen + k, -1);
}

// Computes the weights of one token's slots from its probabilities.
template <class T>
static void weights_row(T* w, const T* p, const int32_t* chosen, int64_t slots, bool divide) {
  T sum = 0, filled = 0;
  for (int64_t i = 0; i < slots; ++i) {
    if (chosen[i] < 0) continue;
    sum += p[chosen[i]];
    filled += 1;
  }
  const bool vanished = divide && sum == 0;  // chosen by other scores, with probabilities that are all 0
  for (int64_t i = 0; i < slots; ++i) {
    w[i] = chosen[i] < 0 ? T(0) : vanished ? T(1) / filled : p[chosen[i]] / (divide ? sum : T(1));
  }
}

}  // namespace cpu

void gating_forward(Context& ctx, Tensor probabilities, Tensor logsumexp, Tensor indices, Tensor weights,
                    ConstTensor logits, GatingOptions options) {
  const int64_t tokens = logits.dim(0), experts = logits.dim(1), k = indices.dim(1);
  MOE_CHECK(k >= 1 && k <= experts, "cannot choose the top {} of {} experts", k, experts);
  MOE_CHECK_SHAPE(probabilities, {tokens, experts});
  MOE_CHECK_SHAPE(logsumexp, {tokens});
  MOE_CHECK_SHAPE(indices, {tokens, k});
  MOE_CHECK_SHAPE(weights, {tokens, k});
  MOE_CHECK_DTYPE(indices, DType::i32);
  if (on_cuda(ctx)) return cuda::gating_forward(ctx, probabilities, logsumexp, indices, weights, logits, options);
  run(ctx, logits.dtype, [&]<class T>(T) {
    const T* z = logits.as<T>();
    T *p = probabilities.as<T>(), *lse = logsumexp.as<T>(), *w = weights.as<T>();
    int32_t* index = indices.as<int32_t>();
#pragma omp parallel for schedule(static)
    for (int64_t t = 0; t < tokens; ++t) {
      lse[t] = cpu::softmax_row(p + t * experts, z + t * experts, experts);
      int32_t* chosen = index + t * k;
      cpu::top_k_row(chosen, z + t * experts, experts, k);
      cpu::weights_row(w + t * k, p + t * experts, chosen, k, options.softmax_over_chosen || options.renormalise);
    }
  });
}

void softmax_forward(Context& ctx, Tensor probabilities, Tensor logsumexp, ConstTensor logits) {
  const int64_t tokens = logits.dim(0), experts = logits.dim(1);
  MOE_CHECK_SHAPE(probabilities, {tokens, experts});
  MOE_CHECK_SHAPE(logsumexp, {tokens});
  if (on_cuda(ctx)) return cuda::softmax_forward(ctx, probabilities, logsumexp, logits);
  run(ctx, logits.dtype, [&]<class T>(T) {
    const T* z = logits.as<T>();
    T *p = probabilities.as<T>(), *lse = logsumexp.as<T>();
#pragma omp parallel for schedule(static)
    for (int64_t t = 0; t < tokens; ++t) lse[t] = cpu::softmax_row(p + t * experts, z + t * experts, experts);
  });
}

void select_top_k(Context& ctx, Tensor indices, ConstTensor scores, int64_t active) {
  const int64_t tokens = scores.dim(0), experts = scores.dim(1), slots = indices.dim(1);
  MOE_CHECK(active >= 1 && active <= slots && active <= experts, "cannot choose the top {} of {} experts into {} slots",
            active, experts, slots);
  MOE_CHECK_SHAPE(indices, {tokens, slots});
  MOE_CHECK_DTYPE(indices, DType::i32);
  if (on_cuda(ctx)) return cuda::select_top_k(ctx, indices, scores, active);
  run(ctx, scores.dtype, [&]<class T>(T) {
    const T* s = scores.as<T>();
    int32_t* index = indices.as<int32_t>();
#pragma omp parallel for schedule(static)
    for (int64_t t = 0; t < tokens; ++t) {
      cpu::top_k_row(index + t * slots, s + t * experts, experts, active);
      std::fill(index + t * slots + active, index + (t + 1) * slots, -1);
    }
  });
}

void chosen_weights(Context& ctx, Tensor weights, ConstTensor probabilities, ConstTensor indices,
                    GatingOptions options) {
  const int64_t tokens = indices.dim(0), slots = indices.dim(1), experts = probabilities.dim(1);
  MOE_CHECK_SHAPE(weights, {tokens, slots});
  MOE_CHECK_SHAPE(probabilities, {tokens, experts});
  if (on_cuda(ctx)) return cuda::chosen_weights(ctx, weights, probabilities, indices, options);
  run(ctx, weights.dtype, [&]<class T>(T) {
    const T* p = probabilities.as<T>();
    T* w = weights.as<T>();
    const int32_t* index = indices.as<int32_t>();
#pragma omp parallel for schedule(static)
    for (int64_t t = 0; t < tokens; ++t) {
      cpu::weights_row(w + t * slots, p + t * experts, index + t * slots, slots,
                       options.softmax_over_chosen || options.renormalise);
    }
  });
}

void mask_experts(Context& ctx, Tensor logits, ConstTensor closed) {
  const int64_t tokens = logits.dim(0), experts = logits.dim(1);
  const bool by_token = closed.shape.rank() == 2;
  if (by_token) {
    MOE_CHECK_SHAPE(closed, {tokens, experts});
  } else {
    MOE_CHECK_SHAPE(closed, {experts});
  }
  if (on_cuda(ctx)) return cuda::mask_experts(ctx, logits, closed);
  run(ctx, logits.dtype, [&]<class T>(T) {
    T* z = logits.as<T>();
#pragma omp parallel for schedule(static)
    for (int64_t t = 0; t < tokens; ++t) {
      const int32_t* mask = closed.as<int32_t>() + (by_token ? t * experts : 0);
      for (int64_t e = 0; e < experts; ++e) {
        if (mask[e] != 0) z[t * experts + e] = -std::numeric_limits<T>::infinity();
      }
    }
  });
}

void gating_backward(Context& ctx, Tensor d_logits, ConstTensor d_weights, ConstTensor probabilities,
                     ConstTensor indices, ConstTensor weights, GatingOptions options) {
  const int64_t tokens = d_logits.dim(0), experts = d_logits.dim(1), k = indices.dim(1);
  MOE_CHECK_SHAPE(probabilities, {tokens, experts});
  MOE_CHECK_SHAPE(d_weights, {tokens, k});
  MOE_CHECK_SHAPE(indices, {tokens, k});
  MOE_CHECK_SHAPE(weights, {tokens, k});
  if (on_cuda(ctx)) return cuda::gating_backward(ctx, d_logits, d_weights, probabilities, indices, weights, options);
  run(ctx, d_logits.dtype, [&]<class T>(T) {
    T* d_z = d_logits.as<T>();
    const T *p = probabilities.as<T>(), *w = weights.as<T>(), *d_w = d_weights.as<T>();
    const int32_t* index = indices.as<int32_t>();
    const bool among_chosen = options.softmax_over_chosen || options.renormalise;
#pragma omp parallel for schedule(static)
    for (int64_t t = 0; t < tokens; ++t) {
      T dot = 0;
      for (int64_t i = 0; i < k; ++i) dot += w[t * k + i] * d_w[t * k + i];
      T* out = d_z + t * experts;
      for (int64_t i = 0; i < k; ++i) {
        if (index[t * k + i] < 0) continue;
        out[index[t * k + i]] += w[t * k + i] * (d_w[t * k + i] - (among_chosen ? dot : T(0)));
      }
      if (among_chosen) continue;
#pragma omp simd
      for (int64_t i = 0; i < experts; ++i) out[i] -= p[t * experts + i] * dot;
    }
  });
}

}  // namespace moe
