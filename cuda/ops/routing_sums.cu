#include "core/ops/routing_sums.h"

#include <algorithm>

#include "core/base/token.h"
#include "core/ops/elementwise.h"
#include "cuda/kernel/block.cuh"
#include "cuda/kernel/host_sum.cuh"
#include "cuda/kernel/ptx.cuh"
#include "cuda/kernel/warp_sums.cuh"

namespace moe::cuda {

static constexpr int kThreads = 256;
static constexpr int kWarps = kThreads / kWarp;

// One warp per token, strided over the grid; each lane owns columns of its warp's sums.
static __global__ void column_sums_kernel(double* partial, const float* x, const int32_t* targets, int64_t tokens,
                                          int n) {
  double* own = own_sums<double>(n);
  for (int64_t t = warp_in_grid(); t < tokens; t += warps_in_grid()) {
    if (targets[t] == kIgnoreTarget) continue;
    for (int i = lane_index(); i < n; i += kWarp) own[i] += static_cast<double>(x[t * n + i]);
  }
  add_up_warps(partial, n);
}

// A warp takes 32 slots at a time and broadcasts them one after the other; lane e % 32 adds to expert e. Row of a warp:
// counts (experts), then importance (experts).
static __global__ void assignment_sums_kernel(double* partial, const int32_t* indices, const float* weights,
                                              const int32_t* targets, int64_t slots, int64_t k, int experts) {
  const int lane = lane_index(), n = 2 * experts;
  double* own = own_sums<double>(n);
  for (int64_t first = warp_in_grid() * kWarp; first < slots; first += warps_in_grid() * kWarp) {
    const int64_t s = first + lane;
    const bool counts = s < slots && targets[s / k] != kIgnoreTarget;
    const int expert = counts ? indices[s] : -1;
    const float weight = counts ? weights[s] : 0.0f;
    for (int source = 0; source < kWarp; ++source) {
      const int e = __shfl_sync(kAllLanes, expert, source);
      const float w = __shfl_sync(kAllLanes, weight, source);
      if (e < 0 || e % kWarp != lane) continue;
      own[e] += 1;
      own[experts + e] += static_cast<double>(w);
    }
  }
  add_up_warps(partial, n);
}

// One warp per token, strided over the grid. Row of a warp: counts (n), of which lane i % 32 owns i. If all values are
// NaN, there is no largest one, and as on the CPU the first is counted.
static __global__ void top1_counts_kernel(double* partial, const float* p, const int32_t* targets, int64_t tokens,
                                          int n) {
  double* own = own_sums<double>(n);
  for (int64_t t = warp_in_grid(); t < tokens; t += warps_in_grid()) {
    if (targets[t] == kIgnoreTarget) continue;
    Indexed best{-INFINITY, n};
    for (int i = lane_index(); i < n; i += kWarp) best = larger(best, {p[t * n + i], i});
    best = warp_argmax(best);
    const int first = best.index == n ? 0 : best.index;
    if (first % kWarp == lane_index()) own[first] += 1;
  }
  add_up_warps(partial, n);
}

// One thread per pair of slots (first, second) of a token, of k * k; those with second < first count. counts (experts *
// (experts - 1) / 2) are whole numbers, so their atomic additions give the same in any order.
static __global__ void pair_counts_kernel(int32_t* counts, const int32_t* indices, const int32_t* targets,
                                          int64_t tokens, int64_t k) {
  const int64_t i = thread_in_grid(), t = i / (k * k), first = i / k % k, second = i % k;
  if (t >= tokens || second >= first || targets[t] == kIgnoreTarget) return;
  const int32_t x = indices[t * k + first], y = indices[t * k + second];
  const int64_t a = min(x, y), b = max(x, y);
  if (a >= 0 && a != b) atomicAdd(&counts[b * (b - 1) / 2 + a], 1);
}

static __global__ void pair_sums_kernel(double* sums, const int32_t* counts, int64_t n) {
  const int64_t i = thread_in_grid();
  if (i < n) sums[i] = static_cast<double>(counts[i]);
}

static __global__ void weight_sum_backward_kernel(float* d_weights, const int32_t* indices, const double* gradient,
                                                  const int32_t* targets, int64_t slots, int64_t k) {
  const int64_t s = thread_in_grid();
  if (s >= slots || indices[s] < 0 || targets[s / k] == kIgnoreTarget) return;
  d_weights[s] += static_cast<float>(gradient[indices[s]]);
}

struct AssignmentTerm {
  const int32_t* indices;
  int64_t k;

  __device__ double operator()(int64_t t) const {
    double count = 0;
    for (int64_t s = t * k + lane_index(); s < (t + 1) * k; s += kWarp) count += indices[s] >= 0;
    return count;
  }
};

enum class Scalar { tokens, entropy, squared };

// Per block, the sum over strided elements of x (tokens, n) of one of three functions.
template <Scalar kScalar>
__global__ void scalar_sum_kernel(double* partial, const float* x, const int32_t* targets, int64_t size, int64_t n) {
  double* slots = &shared_memory<double>();
  double sum = 0;
  for (int64_t i = thread_in_grid(); i < size; i += threads_in_grid()) {
    if (targets[i / n] == kIgnoreTarget) continue;
    if constexpr (kScalar == Scalar::tokens) sum += 1;
    if constexpr (kScalar == Scalar::entropy) {
      if (x[i] > 0) sum -= static_cast<double>(x[i] * logf(x[i]));
    }
    if constexpr (kScalar == Scalar::squared) sum += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  }
  sum = block_sum(sum, slots);
  if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

// One warp per token: out += p (g - <g, p>)
static __global__ void softmax_sum_backward_kernel(float* d_logits, const float* probabilities, const double* gradient,
                                                   const int32_t* targets, int64_t tokens, int n) {
  const int64_t t = warp_in_grid();
  if (t >= tokens || targets[t] == kIgnoreTarget) return;
  const float* p = probabilities + t * n;
  double dot = 0;
  for (int i = lane_index(); i < n; i += kWarp) dot += gradient[i] * static_cast<double>(p[i]);
  dot = warp_sum(dot);
  for (int i = lane_index(); i < n; i += kWarp) d_logits[t * n + i] += p[i] * static_cast<float>(gradient[i] - dot);
}

// One warp per token: out -= factor p (ln p + entropy)
static __global__ void entropy_backward_kernel(float* d_logits, const float* probabilities, const int32_t* targets,
                                               float factor, int64_t tokens, int n) {
  const int64_t t = warp_in_grid();
  if (t >= tokens || targets[t] == kIgnoreTarget) return;
  const float* p = probabilities + t * n;
  float entropy = 0;
  for (int i = lane_index(); i < n; i += kWarp) entropy -= p[i] > 0 ? p[i] * logf(p[i]) : 0.0f;
  entropy = warp_sum(entropy);
  for (int i = lane_index(); i < n; i += kWarp) {
    if (p[i] > 0) d_logits[t * n + i] -= factor * p[i] * (logf(p[i]) + entropy);
  }
}

static __global__ void squared_logsumexp_backward_kernel(float* d_logits, const float* probabilities,
                                                         const float* logsumexp, const int32_t* targets, float factor,
                                                         int64_t size, int64_t n) {
  const int64_t i = thread_in_grid();
  if (i >= size || targets[i / n] == kIgnoreTarget) return;
  d_logits[i] += factor * logsumexp[i / n] * probabilities[i];
}

// ---- launchers -----------------------------------------------------------------------------------------------------

static int warps_for(int64_t n) {
  return static_cast<int>(std::clamp<int64_t>((int64_t{96} << 10) / (8 * n), 1, kWarps));
}

void column_sums(Context& ctx, Tensor sums, ConstTensor x, ConstTensor targets) {
  const int64_t tokens = x.dim(0), n = x.dim(1);
  ScratchScope scratch(ctx);
  const int warps = warps_for(n), blocks = partials_for(tokens, warps);
  double* partial = scratch.allocate(Shape{blocks, n}, DType::f64).as<double>();
  launch(ctx, column_sums_kernel, dim3(static_cast<unsigned>(blocks)), warps * kWarp,
         static_cast<size_t>(warps * n) * sizeof(double), partial, x.as<float>(), targets.as<int32_t>(), tokens,
         static_cast<int>(n));
  add_to_sums(ctx, {sums}, partial, n, blocks);
}

void assignment_sums(Context& ctx, Tensor counts, Tensor importance, ConstTensor indices, ConstTensor weights,
                     ConstTensor targets) {
  const int64_t experts = counts.size();
  ScratchScope scratch(ctx);
  const int warps = warps_for(2 * experts), blocks = partials_for(indices.size(), int64_t{warps} * kWarp);
  double* partial = scratch.allocate(Shape{blocks, 2 * experts}, DType::f64).as<double>();
  launch(ctx, assignment_sums_kernel, dim3(static_cast<unsigned>(blocks)), warps * kWarp,
         static_cast<size_t>(warps * 2 * experts) * sizeof(double), partial, indices.as<int32_t>(), weights.as<float>(),
         targets.as<int32_t>(), indices.size(), indices.dim(1), static_cast<int>(experts));
  if (importance)
    add_to_sums(ctx, {counts, importance}, partial, 2 * experts, blocks);
  else
    add_to_sums(ctx, {counts}, partial, 2 * experts, blocks);
}

void pair_sums(Context& ctx, Tensor pairs, ConstTensor indices, ConstTensor targets) {
  const int64_t tokens = indices.dim(0), k = indices.dim(1), n = pairs.size();
  if (n == 0) return;
  ScratchScope scratch(ctx);
  const Tensor counts = scratch.allocate(Shape{n}, DType::i32), sums = scratch.allocate(Shape{n}, DType::f64);
  moe::cuda::fill_zero(ctx, counts);
  launch(ctx, pair_counts_kernel, blocks_for(tokens * k * k, kThreads), kThreads, 0, counts.as<int32_t>(),
         indices.as<int32_t>(), targets.as<int32_t>(), tokens, k);
  launch(ctx, pair_sums_kernel, blocks_for(n, kThreads), kThreads, 0, sums.as<double>(), counts.as<int32_t>(), n);
  add_to_sums(ctx, {pairs}, sums.as<double>(), n, 1);
}

void top1_counts(Context& ctx, Tensor counts, ConstTensor probabilities, ConstTensor targets) {
  const int64_t tokens = probabilities.dim(0), n = probabilities.dim(1);
  ScratchScope scratch(ctx);
  const int warps = warps_for(n), blocks = partials_for(tokens, warps);
  double* partial = scratch.allocate(Shape{blocks, n}, DType::f64).as<double>();
  launch(ctx, top1_counts_kernel, dim3(static_cast<unsigned>(blocks)), warps * kWarp,
         static_cast<size_t>(warps * n) * sizeof(double), partial, probabilities.as<float>(), targets.as<int32_t>(),
         tokens, static_cast<int>(n));
  add_to_sums(ctx, {counts}, partial, n, blocks);
}

void count_assignments(Context& ctx, Tensor sum, ConstTensor indices, ConstTensor targets) {
  sum_over_tokens(ctx, sum, targets, AssignmentTerm{indices.as<int32_t>(), indices.dim(1)});
}

void weight_sum_backward(Context& ctx, Tensor d_weights, ConstTensor indices, ConstTensor gradient,
                         ConstTensor targets) {
  const int64_t slots = indices.size();
  ScratchScope scratch(ctx);
  const ConstTensor here = on_device(ctx, scratch, gradient);
  launch(ctx, weight_sum_backward_kernel, blocks_for(slots, kThreads), kThreads, 0, d_weights.as<float>(),
         indices.as<int32_t>(), here.as<double>(), targets.as<int32_t>(), slots, indices.dim(1));
}

template <Scalar kScalar>
static void scalar_sum(Context& ctx, Tensor sum, const float* x, ConstTensor targets, int64_t n) {
  ScratchScope scratch(ctx);
  const int blocks = partials_for(targets.size() * n, kThreads);
  double* partial = scratch.allocate(Shape{blocks}, DType::f64).as<double>();
  launch(ctx, scalar_sum_kernel<kScalar>, dim3(static_cast<unsigned>(blocks)), kThreads, 32 * sizeof(double), partial,
         x, targets.as<int32_t>(), targets.size() * n, n);
  add_to_sums(ctx, {sum}, partial, 1, blocks);
}

void token_sum(Context& ctx, Tensor sum, ConstTensor targets) {
  scalar_sum<Scalar::tokens>(ctx, sum, nullptr, targets, 1);
}

void entropy_sum(Context& ctx, Tensor sum, ConstTensor probabilities, ConstTensor targets) {
  scalar_sum<Scalar::entropy>(ctx, sum, probabilities.as<float>(), targets, probabilities.dim(1));
}

void squared_logsumexp_sum(Context& ctx, Tensor sum, ConstTensor logsumexp, ConstTensor targets) {
  scalar_sum<Scalar::squared>(ctx, sum, logsumexp.as<float>(), targets, 1);
}

void softmax_sum_backward(Context& ctx, Tensor d_logits, ConstTensor probabilities, ConstTensor gradient,
                          ConstTensor targets) {
  const int64_t tokens = d_logits.dim(0), n = d_logits.dim(1);
  ScratchScope scratch(ctx);
  const ConstTensor here = on_device(ctx, scratch, gradient);
  launch(ctx, softmax_sum_backward_kernel, blocks_for(tokens, kWarps), kThreads, 0, d_logits.as<float>(),
         probabilities.as<float>(), here.as<double>(), targets.as<int32_t>(), tokens, static_cast<int>(n));
}

void entropy_backward(Context& ctx, Tensor d_logits, ConstTensor probabilities, double factor, ConstTensor targets) {
  const int64_t tokens = d_logits.dim(0), n = d_logits.dim(1);
  launch(ctx, entropy_backward_kernel, blocks_for(tokens, kWarps), kThreads, 0, d_logits.as<float>(),
         probabilities.as<float>(), targets.as<int32_t>(), static_cast<float>(factor), tokens, static_cast<int>(n));
}

void squared_logsumexp_backward(Context& ctx, Tensor d_logits, ConstTensor probabilities, ConstTensor logsumexp,
                                double factor, ConstTensor targets) {
  const int64_t size = d_logits.size(), n = d_logits.dim(1);
  launch(ctx, squared_logsumexp_backward_kernel, blocks_for(size, kThreads), kThreads, 0, d_logits.as<float>(),
         probabilities.as<float>(), logsumexp.as<float>(), targets.as<int32_t>(), static_cast<float>(2 * factor), size,
         n);
}

}  // namespace moe::cuda
