#include "core/ops/adamw.h"

#include <cmath>

#include "cuda/device/launch.cuh"
#include "cuda/kernel/vector.cuh"
#include "cuda/kernel/warp.cuh"

namespace moe::cuda {

static constexpr int kThreads = 256;

struct AdamWFactors {
  float beta1, beta2, rate, correction2, eps, keep, clip;
  bool clear_gradient;
};

// N parameters per thread, everything in one pass. With a master the weight is only written. M: the type of the first
// moment.
template <class T, class M, int N>
__global__ void adamw_kernel(T* weight, float* master, M* first, float* second, float* gradient, AdamWFactors f,
                             int64_t n) {
  const int64_t i = thread_in_grid() * N;
  if (i >= n) return;
  Floats<N> w = master ? load_vector<N>(master + i) : load_vector<N>(weight + i);
  Floats<N> m = load_vector<N>(first + i), v = load_vector<N>(second + i), g = load_vector<N>(gradient + i);
#pragma unroll
  for (int j = 0; j < N; ++j) {
    const float grad = g.v[j] * f.clip;
    m.v[j] = f.beta1 * m.v[j] + (1.0f - f.beta1) * grad;
    v.v[j] = f.beta2 * v.v[j] + (1.0f - f.beta2) * grad * grad;
    w.v[j] = f.keep * w.v[j] - f.rate * m.v[j] / (sqrtf(v.v[j] * f.correction2) + f.eps);
    g.v[j] = 0;
  }
  store_vector(first + i, m);
  store_vector(second + i, v);
  if (f.clear_gradient) store_vector(gradient + i, g);
  store_vector(weight + i, w);
  if (master) store_vector(master + i, w);
}

// ---- launchers -----------------------------------------------------------------------------------------------------

void adamw(Context& ctx, Tensor weight, Tensor first_moment, Tensor second_moment, Tensor gradient,
           const AdamWStep& step, Tensor master) {
  const int64_t n = weight.size();
  const double updates = static_cast<double>(step.update);
  const AdamWFactors factors{.beta1 = static_cast<float>(step.beta1),
                             .beta2 = static_cast<float>(step.beta2),
                             .rate = static_cast<float>(step.learning_rate / (1 - std::pow(step.beta1, updates))),
                             .correction2 = static_cast<float>(1 / (1 - std::pow(step.beta2, updates))),
                             .eps = static_cast<float>(step.eps),
                             .keep = static_cast<float>(1 - step.learning_rate * step.weight_decay),
                             .clip = static_cast<float>(step.gradient_scale),
                             .clear_gradient = step.clear_gradient};
  float *v = second_moment.as<float>(), *g = gradient.as<float>();
  float* exact = master ? master.as<float>() : nullptr;
  for_type(first_moment.dtype, [&]<class M>(M) {
    for_type(weight.dtype, [&]<class T>(T) {
      T* w = weight.as<T>();
      M* m = first_moment.as<M>();
      const bool vectors = in_vectors<T>(n, w, exact, m, v, g);
      const auto kernel = vectors ? adamw_kernel<T, M, kPerVector<T>> : adamw_kernel<T, M, 1>;
      launch(ctx, kernel, blocks_for(n, kThreads * (vectors ? kPerVector<T> : 1)), kThreads, 0, w, exact, m, v, g,
             factors, n);
    });
  });
}

}  // namespace moe::cuda
