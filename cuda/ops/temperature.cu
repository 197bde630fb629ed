#include "core/ops/temperature.h"

#include <algorithm>
#include <vector>

#include "core/tensor/copy.h"
#include "cuda/kernel/reduce.cuh"
#include "cuda/kernel/vector.cuh"

namespace moe::cuda {

static constexpr int kThreads = 256;

template <class T>
__global__ void temperature_forward_kernel(float* z, const T* temperature, float floor, int64_t n) {
  const int64_t i = thread_in_grid();
  if (i < n) z[i] /= fmaxf(load(temperature), floor);
}

// Threads take strided elements; partial (blocks): the sums of d_z * z, computed before d_z is divided.
template <class T>
__global__ void temperature_backward_kernel(float* d_z, double* partial, const float* z, const T* temperature,
                                            float floor, int64_t n) {
  double* slots = &shared_memory<double>();
  const float tau = fmaxf(load(temperature), floor);
  double sum = 0;
  for (int64_t i = thread_in_grid(); i < n; i += threads_in_grid()) {
    if (isfinite(z[i])) sum += static_cast<double>(d_z[i]) * static_cast<double>(z[i]);
    d_z[i] /= tau;
  }
  sum = block_sum(sum, slots);
  if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

// One block.
template <class T>
__global__ void add_temperature_gradient_kernel(float* d_temperature, const double* partial, const T* temperature,
                                                float floor, int64_t partials) {
  double* slots = &shared_memory<double>();
  double sum = 0;
  for (int64_t i = threadIdx.x; i < partials; i += blockDim.x) sum += partial[i];
  sum = block_sum(sum, slots);
  const float tau = fmaxf(load(temperature), floor);
  if (threadIdx.x == 0) *d_temperature -= static_cast<float>(sum / static_cast<double>(tau));
}

// ---- launchers -----------------------------------------------------------------------------------------------------

void temperature_forward(Context& ctx, Tensor z, ConstTensor temperature, double floor) {
  for_type(temperature.dtype, [&]<class T>(T) {
    launch(ctx, temperature_forward_kernel<T>, blocks_for(z.size(), kThreads), kThreads, 0, z.as<float>(),
           temperature.as<T>(), static_cast<float>(floor), z.size());
  });
}

void temperature_backward(Context& ctx, Tensor d_z, Tensor d_temperature, ConstTensor z, ConstTensor temperature,
                          double floor) {
  ScratchScope scratch(ctx);
  const int64_t n = z.size();
  const int blocks = partials_for(n, kThreads);
  double* partial = scratch.allocate(Shape{blocks}, DType::f64).as<double>();
  for_type(temperature.dtype, [&]<class T>(T) {
    launch(ctx, temperature_backward_kernel<T>, dim3(static_cast<unsigned>(blocks)), kThreads, 32 * sizeof(double),
           d_z.as<float>(), partial, z.as<float>(), temperature.as<T>(), static_cast<float>(floor), n);
    launch(ctx, add_temperature_gradient_kernel<T>, dim3(1), kThreads, 32 * sizeof(double), d_temperature.as<float>(),
           partial, temperature.as<T>(), static_cast<float>(floor), blocks);
  });
}

double temperature_value(Context& ctx, ConstTensor temperature, double floor) {
  if (ctx.planning) return floor;
  std::vector<char> bytes;
  const ConstTensor here = on_host(ctx, temperature, bytes);
  const float value = here.dtype == DType::bf16 ? to_float(*here.as<BFloat16>()) : *here.as<float>();
  return std::max(static_cast<double>(value), floor);
}

}  // namespace moe::cuda
