// The nonlinearities and their derivatives, for activation.cu and for the epilogue of the grouped GEMM.
#pragma once
#include <cuda_runtime.h>

#include <type_traits>

#include "core/base/normal_tail.h"
#include "core/ops/activation.h"
#include "core/tensor/bfloat16.h"
#include "cuda/kernel/ptx.cuh"

namespace moe::cuda {

// There is no branch and no IEEE division (which is a call) in any of these. T is the type that the result is stored
// in. In f32 errors stay below 1e-6 (of |x| or |x up|). For bf16, GELU and SwiGLU use tanh.approx: before they are
// rounded to 8 bits they are off by at most 2^-12 |x| (|x up|). That is a sixteenth of what rounding may change where
// |y| is about |x|, but more in the tail of negative x, where y is nearly 0. The derivatives, which would multiply
// that error by x^3, do not use it. tests/ops/activation_test.cpp compares all of this with f64.
template <class T>
inline constexpr bool kIsApproximate = std::is_same_v<T, BFloat16>;

// e^x
template <class T>
__device__ inline float exponential(float x) {
  if constexpr (kIsApproximate<T>) return ex2_approx(x * 1.4426950408889634f);
  return expf(x);
}

// 1 / (1 + e^-2h); e^-2h may overflow to infinity, which gives 0.
template <class T>
__device__ inline float sigmoid_of_twice(float h) {
  return rcp_approx(1.0f + exponential<T>(-2.0f * h));
}
// 1 / (1 + e^-x)
__device__ inline float sigmoid(float x) {
  return rcp_approx(1.0f + expf(-x));
}
// x / (1 + e^-2h)
template <class T>
__device__ inline float gated_by(float x, float h) {
  if constexpr (kIsApproximate<T>) {
    const float half = 0.5f * x;
    return half * tanh_approx(h) + half;
  }
  return x * sigmoid_of_twice<T>(h);
}

// gelu_tanh(x) = x / (1 + e^-2h) with h = x (kGeluInner + kGeluCubic x^2).
inline constexpr float kGeluInner = 0.7978845608028654f;  // sqrt(2 / pi)
inline constexpr float kGeluCubic = 0.7978845608028654f * 0.044715f;

// The normal distribution function. The library's erfcf takes more registers than the epilogue of a matrix product has.
template <class T>
__device__ inline float normal_cdf(float x) {
  const float z = fabsf(x) * 0.7071067811865475f, t = rcp_approx(1.0f + 0.5f * z);
  const float exponent = tail_exponent(t) - z * z;
  const float tail = 0.5f * t * exponential<T>(exponent);
  return x < 0 ? tail : 1.0f - tail;
}
inline constexpr float kNormalDensity = 0.3989422804014327f;  // 1 / sqrt(2 pi)

// Only gated activations use `up`.
template <Activation kActivation, class T>
__device__ inline float activate(float x, float up) {
  if constexpr (kActivation == Activation::relu) return x > 0 ? x : 0;
  if constexpr (kActivation == Activation::gelu_tanh) return gated_by<T>(x, x * (kGeluInner + kGeluCubic * (x * x)));
  if constexpr (kActivation == Activation::gelu_erf) return x * normal_cdf<T>(x);
  if constexpr (kActivation == Activation::swiglu) return gated_by<T>(x, 0.5f * x) * up;
  return 0;
}

// Derivatives with respect to x and to `up`.
struct Derivatives {
  float gate, up;
};
template <Activation kActivation, class T>
__device__ inline Derivatives derivatives_of(float x, float up) {
  if constexpr (kActivation == Activation::relu) return {x > 0 ? 1.0f : 0.0f, 0};
  if constexpr (kActivation == Activation::gelu_tanh) {
    const float square = x * x, s = sigmoid_of_twice<T>(x * (kGeluInner + kGeluCubic * square));
    // For large |x|, s (1 - s) is 0 and the slope of h is large; their product is 0 as long as x^2 is finite.
    return {s + x * (2 * kGeluInner + 6 * kGeluCubic * square) * (s - s * s), 0};
  }
  if constexpr (kActivation == Activation::gelu_erf)
    return {normal_cdf<T>(x) + x * kNormalDensity * exponential<T>(-0.5f * x * x), 0};
  if constexpr (kActivation == Activation::swiglu) {
    const float s = sigmoid_of_twice<T>(0.5f * x), y = x * s;
    return {up * (s + y - y * s), y};
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
