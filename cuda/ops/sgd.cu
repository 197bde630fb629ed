#include "core/ops/sgd.h"

#include "cuda/device/launch.cuh"
#include "cuda/kernel/vector.cuh"
#include "cuda/kernel/warp.cuh"

namespace moe::cuda {

static constexpr int kThreads = 256;

struct SgdFactors {
  float rate, momentum, keep, scale;
  bool nesterov, clear_gradient;
};

// N parameters per thread, everything in one pass. With a master the weight is only written. Deterministic: every
// element depends on itself alone.
template <class T, int N>
__global__ void sgd_kernel(T* weight, float* master, float* sum, float* gradient, SgdFactors f, int64_t n) {
  const int64_t i = thread_in_grid() * N;
  if (i >= n) return;
  Floats<N> w = master ? load_vector<N>(master + i) : load_vector<N>(weight + i);
  Floats<N> g = load_vector<N>(gradient + i), v{};
  if (sum) v = load_vector<N>(sum + i);
#pragma unroll
  for (int j = 0; j < N; ++j) {
    const float grad = g.v[j] * f.scale;
    v.v[j] = f.momentum * v.v[j] + grad;  // without a sum the momentum is 0: the gradient
    const float move = f.nesterov ? grad + f.momentum * v.v[j] : v.v[j];
    w.v[j] = f.keep * w.v[j] - f.rate * move;
    g.v[j] = 0;
  }
  if (sum) store_vector(sum + i, v);
  if (f.clear_gradient) store_vector(gradient + i, g);
  store_vector(weight + i, w);
  if (master) store_vector(master + i, w);
}

// ---- launchers -----------------------------------------------------------------------------------------------------

void sgd(Context& ctx, Tensor weight, Tensor sum, Tensor gradient, const SgdStep& step, Tensor master) {
  const int64_t n = weight.size();
  const SgdFactors factors{.rate = static_cast<float>(step.learning_rate),
                           .momentum = static_cast<float>(step.momentum),
                           .keep = static_cast<float>(1 - step.learning_rate * step.weight_decay),
                           .scale = static_cast<float>(step.gradient_scale),
                           .nesterov = step.nesterov,
                           .clear_gradient = step.clear_gradient};
  float *v = sum ? sum.as<float>() : nullptr, *g = gradient.as<float>();
  float* exact = master ? master.as<float>() : nullptr;
  for_type(weight.dtype, [&]<class T>(T) {
    T* w = weight.as<T>();
    const bool vectors = in_vectors<T>(n, w, exact, v, g);
    const auto kernel = vectors ? sgd_kernel<T, kPerVector<T>> : sgd_kernel<T, 1>;
    launch(ctx, kernel, blocks_for(n, kThreads * (vectors ? kPerVector<T> : 1)), kThreads, 0, w, exact, v, g, factors,
           n);
  });
}

}  // namespace moe::cuda
