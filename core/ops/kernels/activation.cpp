// Activation functions (core/ops/activation.h).
#include "core/ops/kernels/row_kernels.h"
#include "core/ops/kernels/vector_math.h"

namespace moe::cpu::inline MOE_LEVEL {

template <class T>
static void relu_forward(T* y, const T* z, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) y[i] = z[i] > 0 ? z[i] : T(0);
}

template <class T>
static void relu_backward(T* d_z, const T* d_y, const T* z, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) d_z[i] = z[i] > 0 ? d_y[i] : T(0);
}

static constexpr double kGeluInner = 0.7978845608028654;  // sqrt(2 / pi)
static constexpr double kGeluCubic = 0.044715;

template <class T>
static void gelu_tanh_forward(T* y, const T* z, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) {
    const T inner = T(kGeluInner) * (z[i] + T(kGeluCubic) * z[i] * z[i] * z[i]);
    y[i] = T(0.5) * z[i] * (T(1) + fast_tanh(inner));
  }
}

template <class T>
static void gelu_tanh_backward(T* d_z, const T* d_y, const T* z, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) {
    const T inner = T(kGeluInner) * (z[i] + T(kGeluCubic) * z[i] * z[i] * z[i]);
    const T t = fast_tanh(inner);
    const T slope = T(kGeluInner) * (T(1) + T(3 * kGeluCubic) * z[i] * z[i]);
    d_z[i] = d_y[i] * (T(0.5) * (T(1) + t) + T(0.5) * z[i] * (T(1) - t * t) * slope);
  }
}

template <class T>
static void gelu_erf_forward(T* y, const T* z, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) y[i] = z[i] * normal_cdf(z[i]);
}

template <class T>
static void gelu_erf_backward(T* d_z, const T* d_y, const T* z, int64_t n) {
  constexpr double kDensity = 0.3989422804014327;  // 1 / sqrt(2 pi)
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) {
    d_z[i] = d_y[i] * (normal_cdf(z[i]) + z[i] * T(kDensity) * fast_exp(T(-0.5) * z[i] * z[i]));
  }
}

template <class T>
static void swiglu_forward(T* y, const T* z, int64_t d_ff) {
#pragma omp simd
  for (int64_t i = 0; i < d_ff; ++i) y[i] = z[i] * sigmoid(z[i]) * z[d_ff + i];
}

template <class T>
static void swiglu_backward(T* d_z, const T* d_y, const T* z, int64_t d_ff) {
#pragma omp simd
  for (int64_t i = 0; i < d_ff; ++i) {
    const T gate = z[i], s = sigmoid(gate);
    d_z[i] = d_y[i] * z[d_ff + i] * s * (T(1) + gate * (T(1) - s));
    d_z[d_ff + i] = d_y[i] * gate * s;
  }
}

template <class T>
struct ActivationLoops {
  void (*forward)(T* y, const T* z, int64_t d_ff);
  void (*backward)(T* d_z, const T* d_y, const T* z, int64_t d_ff);
};

// The loops over one row.
template <class T>
static ActivationLoops<T> loops_of(Activation activation) {
  switch (activation) {
    case Activation::relu:
      return {relu_forward<T>, relu_backward<T>};
    case Activation::gelu_tanh:
      return {gelu_tanh_forward<T>, gelu_tanh_backward<T>};
    case Activation::gelu_erf:
      return {gelu_erf_forward<T>, gelu_erf_backward<T>};
    case Activation::swiglu:
      return {swiglu_forward<T>, swiglu_backward<T>};
  }
  return {};
}

template <class T>
void activation_forward(T* y, const T* z, int64_t rows, int64_t d_ff, Activation activation) {
  const auto row = loops_of<T>(activation).forward;
  const int64_t width = d_ff * width_factor(activation);
#pragma omp parallel for schedule(static)
  for (int64_t r = 0; r < rows; ++r) row(y + r * d_ff, z + r * width, d_ff);
}

template <class T>
void activation_backward(T* d_z, const T* d_y, const T* z, int64_t rows, int64_t d_ff, Activation activation) {
  const auto row = loops_of<T>(activation).backward;
  const int64_t width = d_ff * width_factor(activation);
#pragma omp parallel for schedule(static)
  for (int64_t r = 0; r < rows; ++r) row(d_z + r * width, d_y + r * d_ff, z + r * width, d_ff);
}

template void activation_forward(float*, const float*, int64_t, int64_t, Activation);
template void activation_forward(double*, const double*, int64_t, int64_t, Activation);
template void activation_backward(float*, const float*, const float*, int64_t, int64_t, Activation);
template void activation_backward(double*, const double*, const double*, int64_t, int64_t, Activation);

}  // namespace moe::cpu::inline MOE_LEVEL
