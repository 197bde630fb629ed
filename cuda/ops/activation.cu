#include <type_traits>

#include "core/ops/activation.h"

#include "core/ops/grouped_rows.h"
#include "cuda/device/launch.cuh"
#include "cuda/kernel/activation.cuh"
#include "cuda/kernel/vector.cuh"
#include "cuda/kernel/warp.cuh"

namespace moe::cuda {

static constexpr int kThreads = 256;

// One thread per N columns of the result.
template <class T, int N, Activation kActivation>
__global__ void activation_forward_kernel(T* y, const T* z, const int32_t* end, int64_t rows, int64_t d_ff) {
  const int64_t at = thread_in_grid() * N, row = at / d_ff, column = at % d_ff;
  if (row >= rows || (end && row >= *end)) return;
  constexpr bool kGated = kActivation == Activation::swiglu;
  z += row * d_ff * (kGated ? 2 : 1) + column;
  Floats<N> value = load_vector<N>(z), up{};
  if constexpr (kGated) up = load_vector<N>(z + d_ff);
#pragma unroll
  for (int j = 0; j < N; ++j) value.v[j] = activate<kActivation, T>(value.v[j], up.v[j]);
  store_vector(y + at, value);
}

template <class T, int N, Activation kActivation>
__global__ void activation_backward_kernel(T* d_z, const T* d_y, const T* z, const int32_t* end, int64_t rows,
                                           int64_t d_ff) {
  const int64_t at = thread_in_grid() * N, row = at / d_ff, column = at % d_ff;
  if (row >= rows || (end && row >= *end)) return;
  constexpr bool kGated = kActivation == Activation::swiglu;
  const int64_t offset = row * d_ff * (kGated ? 2 : 1) + column;
  const Floats<N> value = load_vector<N>(z + offset), grad = load_vector<N>(d_y + at);
  Floats<N> up{}, d_value, d_up;
  if constexpr (kGated) up = load_vector<N>(z + offset + d_ff);
#pragma unroll
  for (int j = 0; j < N; ++j) {
    const Derivatives derivatives = derivatives_of<kActivation, T>(value.v[j], up.v[j]);
    d_value.v[j] = grad.v[j] * derivatives.gate;
    d_up.v[j] = grad.v[j] * derivatives.up;
  }
  store_vector(d_z + offset, d_value);
  if constexpr (kGated) store_vector(d_z + offset + d_ff, d_up);
}

// ---- launchers -----------------------------------------------------------------------------------------------------

void activation_forward(Context& ctx, Tensor y, ConstTensor z, Activation activation, ConstTensor offsets) {
  const int64_t rows = y.dim(0), d_ff = y.dim(1);
  for_type(z.dtype, [&]<class T>(T) {
    for_activation(activation, [&]<Activation kActivation>(std::integral_constant<Activation, kActivation>) {
      T* out = y.as<T>();
      const T* in = z.as<T>();
      const bool vectors = in_vectors<T>(d_ff, out, in);
      const auto kernel = vectors ? activation_forward_kernel<T, kPerVector<T>, kActivation>
                                  : activation_forward_kernel<T, 1, kActivation>;
      launch(ctx, kernel, blocks_for(rows * d_ff, kThreads * (vectors ? kPerVector<T> : 1)), kThreads, 0, out, in,
             end_of_groups(offsets), rows, d_ff);
    });
  });
}

void activation_backward(Context& ctx, Tensor d_z, ConstTensor d_y, ConstTensor z, Activation activation,
                         ConstTensor offsets) {
  const int64_t rows = d_y.dim(0), d_ff = d_y.dim(1);
  for_type(z.dtype, [&]<class T>(T) {
    for_activation(activation, [&]<Activation kActivation>(std::integral_constant<Activation, kActivation>) {
      T* out = d_z.as<T>();
      const T *grad = d_y.as<T>(), *in = z.as<T>();
      const bool vectors = in_vectors<T>(d_ff, out, grad, in);
      const auto kernel = vectors ? activation_backward_kernel<T, kPerVector<T>, kActivation>
                                  : activation_backward_kernel<T, 1, kActivation>;
      launch(ctx, kernel, blocks_for(rows * d_ff, kThreads * (vectors ? kPerVector<T> : 1)), kThreads, 0, out, grad, in,
             end_of_groups(offsets), rows, d_ff);
    });
  });
}

}  // namespace moe::cuda
