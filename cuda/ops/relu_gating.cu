#include "core/ops/relu_gating.h"

#include "core/tensor/copy.h"
#include "cuda/kernel/host_sum.cuh"

namespace moe::cuda {

static constexpr int kThreads = 256;

static __global__ void relu_gating_forward_kernel(int32_t* indices, float* weights, const float* logits, int64_t size,
                                                  int64_t experts) {
  const int64_t i = thread_in_grid();
  if (i >= size) return;
  const bool chosen = logits[i] > 0;  // false for NaN
  indices[i] = chosen ? static_cast<int32_t>(i % experts) : -1;
  weights[i] = chosen ? logits[i] : 0.0f;
}

static __global__ void relu_gating_backward_kernel(float* d_logits, const float* d_weights, const int32_t* indices,
                                                   const int32_t* targets, const float* coefficient,
                                                   const double* factors, int64_t size, int64_t experts) {
  const int64_t i = thread_in_grid();
  if (i >= size || indices[i] < 0) return;
  d_logits[i] +=
      d_weights[i] +
      (targets[i / experts] == kIgnoreTarget ? 0.0f : static_cast<float>(factors[i % experts]) * *coefficient);
}

struct ScaledWeightTerm {
  const float *weights, *coefficient;
  int64_t slots;

  __device__ double operator()(int64_t t) const {
    double sum = 0;
    for (int64_t i = t * slots + lane_index(); i < (t + 1) * slots; i += kWarp) sum += static_cast<double>(weights[i]);
    return sum * static_cast<double>(*coefficient);
  }
};

static __global__ void scale_within_kernel(float* x, float factor, float least, float most, int64_t n) {
  const int64_t i = thread_in_grid();
  if (i < n) x[i] = fminf(fmaxf(x[i] * factor, least), most);
}

// ---- launchers -----------------------------------------------------------------------------------------------------

void relu_gating_forward(Context& ctx, Tensor indices, Tensor weights, ConstTensor logits) {
  launch(ctx, relu_gating_forward_kernel, blocks_for(logits.size(), kThreads), kThreads, 0, indices.as<int32_t>(),
         weights.as<float>(), logits.as<float>(), logits.size(), logits.dim(1));
}

void relu_gating_backward(Context& ctx, Tensor d_logits, ConstTensor d_weights, ConstTensor indices,
                          ConstTensor targets, ConstTensor coefficient, ConstTensor factors) {
  ScratchScope scratch(ctx);
  const ConstTensor here = on_device(ctx, scratch, factors);
  launch(ctx, relu_gating_backward_kernel, blocks_for(d_logits.size(), kThreads), kThreads, 0, d_logits.as<float>(),
         d_weights.as<float>(), indices.as<int32_t>(), targets.as<int32_t>(), coefficient.as<float>(),
         here.as<double>(), d_logits.size(), d_logits.dim(1));
}

void scaled_weight_sum(Context& ctx, Tensor sum, ConstTensor weights, ConstTensor targets, ConstTensor coefficient) {
  sum_over_tokens(ctx, sum, targets, ScaledWeightTerm{weights.as<float>(), coefficient.as<float>(), weights.dim(1)});
}

void scale_within(Context& ctx, Tensor x, double factor, double least, double most) {
  launch(ctx, scale_within_kernel, blocks_for(x.size(), kThreads), kThreads, 0, x.as<float>(),
         static_cast<float>(factor), static_cast<float>(least), static_cast<float>(most), x.size());
}

}  // namespace moe::cuda
