#include "core/ops/routing_sums.h"

#include <algorithm>

#include "core/base/token.h"
#include "core/ops/elementwise.h"
#include "cuda/kernel/block.cuh"
#include "cuda/kernel/host_sum.cuh"
#include "cuda/kernel/ptx.cuh"

namespace moe::cuda {

static constexpr int kThreads = 256;
static constexpr int kWarps = kThreads / kWarp;

// What warps have summed in shared memory, (warps, n) f64, as one row of partial (blocks, n); warps in order.
static __device__ void add_up_warps(double* partial, const double* sums, int n) {
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.x); i < n; i += static_cast<int>(blockDim.x)) {
    double sum = 0;
    for (int w = 0; w < static_cast<int>(blockDim.x) / kWarp; ++w) sum += sums[w * n + i];
    partial[int64_t{blockIdx.x} * n + i] = sum;
  }
}

// One warp per token, strided over the grid; each lane owns columns of its warp's sums.
static __global__ void column_sums_kernel(double* partial, const float* x, const int32_t* targets, int64_t tokens,
                                          int n) {
  double* sums = &shared_memory<double>();
  const int warps = static_cast<int>(blockDim.x) / kWarp;
  double* own = sums + warp_index() * n;
  for (int i = lane_index(); i < n; i += kWarp) own[i] = 0;
  for (int64_t t = int64_t{blockIdx.x} * warps + warp_index(); t < tokens; t += int64_t{gridDim.x} * warps) {
    if (targets[t] == kIgnoreTarget) continue;
    for (int i = lane_index(); i < n; i += kWarp) own[i] += static_cast<double>(x[t * n + i]);
  }
  add_up_warps(partial, sums, n);
}

// A warp takes 32 slots at a time and hands them round one after the other; lane e % 32 adds to expert e. Row of a
// warp: counts (experts), then importance (experts).
static __global__ void assignment_sums_kernel(double* partial, const int32_t* indices, const float* weights,
                                              const int32_t* targets, int64_t slots, int64_t k, int experts) {
  double* sums = &shared_memory<double>();
  const int lane = lane_index(), n = 2 * experts, warps = static_cast<int>(blockDim.x) / kWarp;
  double* own = sums + warp_index() * n;
  for (int i = lane; i < n; i += kWarp) own[i] = 0;
  __syncwarp();  // lane e % 32 writes more than it cleared
  for (int64_t first = (int64_t{blockIdx.x} * warps + warp_index()) * kWarp; first < slots;
       first += int64_t{gridDim.x} * warps * kWarp) {
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
  add_up_warps(partial, sums, n);
}

enum class Scalar { tokens, entropy, squared };

// The sum over strided elements of x (tokens, n) of one of three functions, per block.
template <Scalar kScalar>
__global__ void scalar_sum_kernel(double* partial, const float* x, const int32_t* targets, int64_t size, int64_t n) {
  double* slots = &shared_memory<double>();
  double sum = 0;
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < size; i += int64_t{gridDim.x} * blockDim.x) {
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
  const int64_t t = (int64_t{blockIdx.x} * blockDim.x + threadIdx.x) / kWarp;
  if (t >= tokens || targets[t] == kIgnoreTarget) return;
  const float* p = probabilities + t * n;
  double dot = 0;
  for (int i = lane_index(); i < n; i += kWarp) dot += gradient[i] * static_cast<double>(p[i]);
  dot = warp_sum(dot);
  for (int i = lane_index(); i < n; i += kWarp) d_logits[t * n + i] += p[i] * static_cast<float>(gradient[i] - dot);
}

static __global__ void squared_logsumexp_backward_kernel(float* d_logits, const float* probabilities,
                                                         const float* logsumexp, const int32_t* targets, float factor,
                                                         int64_t size, int64_t n) {
  const int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= size || targets[i / n] == kIgnoreTarget) return;
  d_logits[i] += factor * logsumexp[i / n] * probabilities[i];
}

// ---- launchers -----------------------------------------------------------------------------------------------------

// sums += partial (kPartials, n), where `sums` may be in host memory.
static void add_to(Context& ctx, Tensor sums, const double* partial, int64_t n, int64_t stride) {
  if (sums.device == Device::cuda) return add_partials(ctx, sums.as<double>(), partial, n, stride, kPartials);
  ScratchScope scratch(ctx);
  const Tensor total = scratch.allocate(Shape{n}, DType::f64);
  moe::fill_zero(ctx, total);
  add_partials(ctx, total.as<double>(), partial, n, stride, kPartials);
  if (ctx.planning) return;
  std::vector<char> bytes;
  const double* host = on_host(ctx, total, bytes).as<double>();
  for (int64_t i = 0; i < n; ++i) sums.as<double>()[i] += host[i];
}

static int warps_for(int64_t n) {
  return static_cast<int>(std::clamp<int64_t>((int64_t{96} << 10) / (8 * n), 1, kWarps));
}

void column_sums(Context& ctx, Tensor sums, ConstTensor x, ConstTensor targets) {
  const int64_t tokens = x.dim(0), n = x.dim(1);
  ScratchScope scratch(ctx);
  double* partial = scratch.allocate(Shape{kPartials, n}, DType::f64).as<double>();
  const int warps = warps_for(n);
  launch(ctx, column_sums_kernel, dim3(kPartials), warps * kWarp, static_cast<size_t>(warps * n) * sizeof(double),
         partial, x.as<float>(), targets.as<int32_t>(), tokens, static_cast<int>(n));
  add_to(ctx, sums, partial, n, n);
}

void assignment_sums(Context& ctx, Tensor counts, Tensor importance, ConstTensor indices, ConstTensor weights,
                     ConstTensor targets) {
  const int64_t experts = counts.size();
  ScratchScope scratch(ctx);
  double* partial = scratch.allocate(Shape{kPartials, 2 * experts}, DType::f64).as<double>();
  const int warps = warps_for(2 * experts);
  launch(ctx, assignment_sums_kernel, dim3(kPartials), warps * kWarp,
         static_cast<size_t>(warps * 2 * experts) * sizeof(double), partial, indices.as<int32_t>(), weights.as<float>(),
         targets.as<int32_t>(), indices.size(), indices.dim(1), static_cast<int>(experts));
  add_to(ctx, counts, partial, experts, 2 * experts);
  if (importance) add_to(ctx, importance, partial + experts, experts, 2 * experts);
}

template <Scalar kScalar>
static double scalar_sum(Context& ctx, const float* x, ConstTensor targets, int64_t n) {
  const HostSums<1> sums(ctx);
  launch(ctx, scalar_sum_kernel<kScalar>, dim3(kPartials), kThreads, 32 * sizeof(double), sums.partial(), x,
         targets.as<int32_t>(), targets.size() * n, n);
  return sums.get()[0];
}

double count_tokens(Context& ctx, ConstTensor targets) {
  return scalar_sum<Scalar::tokens>(ctx, nullptr, targets, 1);
}

double entropy_sum(Context& ctx, ConstTensor probabilities, ConstTensor targets) {
  return scalar_sum<Scalar::entropy>(ctx, probabilities.as<float>(), targets, probabilities.dim(1));
}

double squared_logsumexp_sum(Context& ctx, ConstTensor logsumexp, ConstTensor targets) {
  return scalar_sum<Scalar::squared>(ctx, logsumexp.as<float>(), targets, 1);
}

void softmax_sum_backward(Context& ctx, Tensor d_logits, ConstTensor probabilities, ConstTensor gradient,
                          ConstTensor targets) {
  const int64_t tokens = d_logits.dim(0), n = d_logits.dim(1);
  ScratchScope scratch(ctx);
  ConstTensor on_device = gradient;
  if (gradient.device == Device::cpu) {
    const Tensor there = scratch.allocate(gradient.shape, DType::f64);
    copy_from_host(ctx, there, gradient);
    on_device = there;
  }
  launch(ctx, softmax_sum_backward_kernel, blocks_for(tokens, kWarps), kThreads, 0, d_logits.as<float>(),
         probabilities.as<float>(), on_device.as<double>(), targets.as<int32_t>(), tokens, static_cast<int>(n));
}

void squared_logsumexp_backward(Context& ctx, Tensor d_logits, ConstTensor probabilities, ConstTensor logsumexp,
                                double factor, ConstTensor targets) {
  const int64_t size = d_logits.size(), n = d_logits.dim(1);
  launch(ctx, squared_logsumexp_backward_kernel, blocks_for(size, kThreads), kThreads, 0, d_logits.as<float>(),
         probabilities.as<float>(), logsumexp.as<float>(), targets.as<int32_t>(), static_cast<float>(2 * factor), size,
         n);
}

}  // namespace moe::cuda
