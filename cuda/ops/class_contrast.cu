#include "core/ops/class_contrast.h"

#include "core/base/token.h"
#include "cuda/device/launch.cuh"
#include "cuda/kernel/block.cuh"
#include "cuda/kernel/ptx.cuh"

namespace moe::cuda {

static constexpr int kThreads = 128;

static __device__ float softplus(float x) {
  return fmaxf(x, 0.0f) + log1pf(expf(-fabsf(x)));
}
static __device__ float sigmoid(float x) {
  return 1 / (1 + expf(-x));
}

// One block per query, which reads its scores three times. Sums are in the order of lanes and warps.
static __global__ void class_contrast_forward_kernel(float* losses, int32_t* correct, float* statistics,
                                                     const float* scores, const int32_t* query_classes,
                                                     const int32_t* candidates, int64_t n) {
  float* slots = &shared_memory<float>();
  const int64_t query = blockIdx.x;
  const int32_t own = query_classes[query];
  const float* score = scores + query * n;
  float* row = statistics + query * kContrastColumns;
  if (own == kIgnoreTarget) {  // the condition is the same for the whole block
    if (threadIdx.x == 0) losses[query] = row[0] = row[1] = row[2] = 0, correct[query] = 0;
    return;
  }
  float best_hit = -INFINITY, best_other = -INFINITY, hits = 0;
  for (int64_t j = threadIdx.x; j < n; j += blockDim.x) {
    if (candidates[j] == own) {
      best_hit = fmaxf(best_hit, score[j]), hits += 1;
    } else if (candidates[j] != kIgnoreTarget) {
      best_other = fmaxf(best_other, score[j]);
    }
  }
  best_hit = block_max(best_hit, slots);
  best_other = block_max(best_other, slots);
  hits = block_sum(hits, slots);
  const bool has_others = best_other > -INFINITY;
  float sum = 0;
  for (int64_t j = threadIdx.x; has_others && j < n; j += blockDim.x) {
    if (candidates[j] != own && candidates[j] != kIgnoreTarget) sum += expf(score[j] - best_other);
  }
  sum = block_sum(sum, slots);
  const float others = has_others ? best_other + logf(sum) : -INFINITY;
  float loss = 0, pull = 0;
  for (int64_t j = threadIdx.x; has_others && j < n; j += blockDim.x) {
    if (candidates[j] == own) loss += softplus(others - score[j]), pull += sigmoid(others - score[j]);
  }
  loss = block_sum(loss, slots);
  pull = block_sum(pull, slots);
  if (threadIdx.x != 0) return;
  const float each = hits > 0 ? 1 / hits : 0;
  losses[query] = each * loss;
  correct[query] = best_hit > best_other;
  row[0] = others, row[1] = each * pull, row[2] = each;
}

// One thread per score.
static __global__ void class_contrast_backward_kernel(float* scores, const float* query_statistics,
                                                      const float* candidate_statistics, const int32_t* query_classes,
                                                      const int32_t* candidate_classes, int64_t size, int64_t n,
                                                      float factor) {
  const int64_t i = thread_in_grid(), query = i / n, candidate = i % n;
  if (i >= size) return;
  const float *own = query_statistics + query * kContrastColumns,
              *other = candidate_statistics + candidate * kContrastColumns;
  const int32_t own_class = query_classes[query], other_class = candidate_classes[candidate];
  const float s = scores[i];
  float gradient = 0;
  if (own_class != kIgnoreTarget && other_class != kIgnoreTarget) {
    gradient = own_class == other_class ? -own[2] * sigmoid(own[0] - s) - other[2] * sigmoid(other[0] - s)
                                        : own[1] * expf(s - own[0]) + other[1] * expf(s - other[0]);
  }
  scores[i] = factor * gradient;
}

// ---- launchers -----------------------------------------------------------------------------------------------------

void class_contrast_forward(Context& ctx, Tensor losses, Tensor correct, Tensor statistics, ConstTensor scores,
                            ConstTensor query_classes, ConstTensor candidate_classes) {
  launch(ctx, class_contrast_forward_kernel, blocks_for(scores.dim(0), 1), kThreads, 32 * sizeof(float),
         losses.as<float>(), correct.as<int32_t>(), statistics.as<float>(), scores.as<float>(),
         query_classes.as<int32_t>(), candidate_classes.as<int32_t>(), scores.dim(1));
}

void class_contrast_backward(Context& ctx, Tensor scores, ConstTensor query_statistics,
                             ConstTensor candidate_statistics, ConstTensor query_classes, ConstTensor candidate_classes,
                             double factor) {
  launch(ctx, class_contrast_backward_kernel, blocks_for(scores.size(), kThreads), kThreads, 0, scores.as<float>(),
         query_statistics.as<float>(), candidate_statistics.as<float>(), query_classes.as<int32_t>(),
         candidate_classes.as<int32_t>(), scores.size(), scores.dim(1), static_cast<float>(factor));
}

}  // namespace moe::cuda
