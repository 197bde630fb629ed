#include "core/ops/activation.h"

#include "core/base/table.h"
#include "core/ops/dispatch.h"
#include "core/ops/grouped_rows.h"
#include "core/ops/vector_math.h"

namespace moe {
namespace cpu {

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

}  // namespace cpu

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
      return {cpu::relu_forward<T>, cpu::relu_backward<T>};
    case Activation::gelu_tanh:
      return {cpu::gelu_tanh_forward<T>, cpu::gelu_tanh_backward<T>};
    case Activation::gelu_erf:
      return {cpu::gelu_erf_forward<T>, cpu::gelu_erf_backward<T>};
    case Activation::swiglu:
      return {cpu::swiglu_forward<T>, cpu::swiglu_backward<T>};
  }
  MOE_CHECK(false, "activation {}", static_cast<int>(activation));
  return {};
}

struct ActivationEntry {
  const char* name;
  Activation activation;
};
static const Table<ActivationEntry>& activations() {
  static const Table<ActivationEntry> table{"activation",
                                            {{"relu", Activation::relu},
                                             {"gelu_tanh", Activation::gelu_tanh},
                                             {"gelu_erf", Activation::gelu_erf},
                                             {"swiglu", Activation::swiglu}}};
  return table;
}

template <>
std::vector<std::string> words_of<Activation>() {
  return activations().names();
}

Activation activation_from_name(const std::string& name) {
  return activations().at(name).activation;
}

void activation_forward(Context& ctx, Tensor y, ConstTensor z, Activation activation, ConstTensor offsets) {
  const int64_t rows = y.dim(0), d_ff = y.dim(1), width = d_ff * width_factor(activation);
  MOE_CHECK_SHAPE(z, {rows, width});
  if (on_cuda(ctx)) return cuda::activation_forward(ctx, y, z, activation, offsets);
  run(ctx, z.dtype, [&]<class T>(T) {
    T* out = y.as<T>();
    const T* in = z.as<T>();
    const auto row = loops_of<T>(activation).forward;
    const int64_t all = rows_in_groups(rows, offsets);
#pragma omp parallel for schedule(static)
    for (int64_t r = 0; r < all; ++r) row(out + r * d_ff, in + r * width, d_ff);
  });
}

void activation_backward(Context& ctx, Tensor d_z, ConstTensor d_y, ConstTensor z, Activation activation,
                         ConstTensor offsets) {
  const int64_t rows = d_y.dim(0), d_ff = d_y.dim(1), width = d_ff * width_factor(activation);
  MOE_CHECK_SHAPE(z, {rows, width});
  MOE_CHECK_SHAPE(d_z, {rows, width});
  if (on_cuda(ctx)) return cuda::activation_backward(ctx, d_z, d_y, z, activation, offsets);
  run(ctx, z.dtype, [&]<class T>(T) {
    T* out = d_z.as<T>();
    const T *grad = d_y.as<T>(), *in = z.as<T>();
    const auto row = loops_of<T>(activation).backward;
    const int64_t all = rows_in_groups(rows, offsets);
#pragma omp parallel for schedule(static)
    for (int64_t r = 0; r < all; ++r) row(out + r * width, grad + r * d_ff, in + r * width, d_ff);
  });
}

}  // namespace moe
