// The nonlinearities and their derivatives, for activation.cu and for the epilogue of the grouped GEMM.
#pragma once
#include <cuda_runtime.h>

#include <type_traits>

#include "core/base/normal_tail.h"
#include "core/ops/activation.h"

namespace moe::cuda {

// 1 / (1 + e^-x); e^-x may overflow to infinity, which gives 0.
__device__ inline float sigmoid(float x) {
  return 1.0f / (1.0f + expf(-x));
}

inline constexpr float kGeluInner = 0.7978845608028654f;  // sqrt(2 / pi)
inline constexpr float kGeluCubic = 0.044715f;

__device__ inline float gelu_tanh(float x) {
  return 2.0f * sigmoid(2.0f * kGeluInner * (x + kGeluCubic * x * x * x)) - 1.0f;
}

// The normal distribution function. The library's erfcf takes more registers than the epilogue of a matrix product has.
__device__ inline float normal_cdf(float x) {
  const float z = fabsf(x) * 0.7071067811865475f, t = 1.0f / (1.0f + 0.5f * z);
  const float tail = 0.5f * t * expf(tail_exponent(t) - z * z);
  return x < 0 ? tail : 1.0f - tail;
}
inline constexpr float kNormalDensity = 0.3989422804014327f;  // 1 / sqrt(2 pi)

// Only gated activations use `up`.
template <Activation kActivation>
__device__ inline float activate(float x, float up) {
  if constexpr (kActivation == Activation::relu) return x > 0 ? x : 0;
  if constexpr (kActivation == Activation::gelu_tanh) return 0.5f * x * (1.0f + gelu_tanh(x));
  if constexpr (kActivation == Activation::gelu_erf) return x * normal_cdf(x);
  if constexpr (kActivation == Activation::swiglu) return x * sigmoid(x) * up;
  return 0;
}

// Derivatives with respect to x and to `up`.
struct Slopes {
  float gate, up;
};
template <Activation kActivation>
__device__ inline Slopes slopes_of(float x, float up) {
  if constexpr (kActivation == Activation::relu) return {x > 0 ? 1.0f : 0.0f, 0};
  if constexpr (kActivation == Activation::gelu_tanh) {
    const float t = gelu_tanh(x), slope = kGeluInner * (1.0f + 3 * kGeluCubic * x * x);
    // For large |x|, 1 - t^2 is 0 and the slope is large; their product is 0 as long as x is finite.
    return {0.5f * (1.0f + t) + 0.5f * x * (1.0f - t * t) * slope, 0};
  }
  if constexpr (kActivation == Activation::gelu_erf)
    return {normal_cdf(x) + x * kNormalDensity * expf(-0.5f * x * x), 0};
  if constexpr (kActivation == Activation::swiglu) {
    const float s = sigmoid(x);
    return {up * s * (1.0f + x * (1.0f - s)), x * s};
  }
  return {0, 0};
}

// Calls body(std::integral_constant<Activation, A>{}).
template <class Body>
void for_activation(Activation activation, Body body) {
  switch (activation) {
    case Activation::relu:
      return body(std::integral_constant<Activation, Activation::relu>{});
    case Activation::gelu_tanh:
      return body(std::integral_constant<Activation, Activation::gelu_tanh>{});
    case Activation::gelu_erf:
      return body(std::integral_constant<Activation, Activation::gelu_erf>{});
    case Activation::swiglu:
      return body(std::integral_constant<Activation, Activation::swiglu>{});
  }
}

}  // namespace moe::cuda
