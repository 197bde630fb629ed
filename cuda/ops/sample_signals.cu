#include "core/ops/sample_signals.h"

#include "core/base/token.h"
#include "cuda/device/launch.cuh"
#include "cuda/kernel/block.cuh"
#include "cuda/kernel/vector.cuh"

namespace moe::cuda {

static constexpr int kThreads = 128;
static constexpr int kWarps = kThreads / kWarp;
static constexpr int kSignals = kNumSignalColumns;
static constexpr int kGradient = 4;

// One warp per token; lanes take strided experts.
static __global__ void router_entropy_kernel(float* sums, const float* probabilities, int64_t tokens, int experts) {
  const int64_t t = warp_in_grid();
  if (t >= tokens) return;  // the whole warp returns
  float sum = 0;
  for (int e = lane_index(); e < experts; e += kWarp) {
    const float p = probabilities[t * experts + e];
    if (p > 0) sum -= p * logf(p);
  }
  sum = warp_sum(sum);
  if (lane_index() == 0) sums[t] += sum;
}

// One warp per token. Lanes take strided columns and read each column of the token's k rows twice: for the mean, then
// for the squares.
template <class T>
__global__ void expert_variance_kernel(float* sums, const T* rows, const int32_t* position, int64_t tokens, int k,
                                       int64_t d) {
  const int64_t t = warp_in_grid();
  if (t >= tokens) return;  // the whole warp returns
  const int32_t* place = position + t * k;
  int filled = 0;
  for (int j = 0; j < k; ++j) filled += place[j] >= 0;
  if (filled < 2) return;  // the whole warp returns, because the value is the same for a token
  const float share = 1.0f / static_cast<float>(filled);
  float sum = 0;
  for (int64_t i = lane_index(); i < d; i += kWarp) {
    float mean = 0, squares = 0;
    for (int j = 0; j < k; ++j) {
      if (place[j] >= 0) mean += share * load(rows + place[j] * d + i);
    }
    for (int j = 0; j < k; ++j) {
      if (place[j] < 0) continue;
      const float difference = load(rows + place[j] * d + i) - mean;
      squares += difference * difference;
    }
    sum += share * squares;
  }
  sum = warp_sum(sum);
  if (lane_index() == 0) sums[t] += sum / static_cast<float>(d);
}

struct TokenArrays {
  const float *losses, *entropy, *residual, *router_entropy, *expert_variance, *router_uncertainty;
  float per_pass;
};

// One block per sequence: warps take strided tokens, their lanes take the columns of the hidden state. A warp's sums
// are those of its tokens in order, and the warps' sums are added in order. slots: shared memory of block_sum.
template <class T>
__global__ void sample_signals_kernel(float* signals, TokenArrays in, const T* hidden, const int32_t* targets,
                                      int64_t time, int64_t d) {
  double* slots = &shared_memory<double>();
  const int64_t begin = int64_t{blockIdx.x} * time;
  double sums[kSignals] = {}, scored = 0;
  for (int64_t t = begin + warp_index(); t < begin + time; t += kWarps) {
    if (targets[t] == kIgnoreTarget) continue;  // the same for the whole warp
    float squares = 0;
    if (in.residual) {
      for (int64_t i = lane_index(); i < d; i += kWarp) {
        const float h = load(hidden + t * d + i);
        squares += h * h;
      }
      squares = warp_sum(squares);
    }
    if (lane_index() != 0) continue;
    scored += 1;
    sums[0] += static_cast<double>(in.losses[t]);
    sums[1] += 1 - static_cast<double>(expf(-in.losses[t]));
    if (in.residual) {
      sums[2] += static_cast<double>(in.entropy[t]);
      sums[4] += static_cast<double>(in.residual[t] * in.residual[t] * squares);
    }
    if (in.expert_variance) sums[3] += static_cast<double>(in.per_pass * in.expert_variance[t]);
    if (in.router_entropy) sums[5] += static_cast<double>(in.per_pass * in.router_entropy[t]);
    if (in.router_uncertainty) sums[6] += static_cast<double>(in.per_pass * in.router_uncertainty[t]);
  }
  __syncwarp();
  scored = block_sum(scored, slots);
  for (int i = 0; i < kSignals; ++i) {
    double sum = block_sum(sums[i], slots);
    if (i == kGradient) sum = sqrt(sum * scored);  // a root mean square; divided by `scored` below
    if (threadIdx.x == 0)
      signals[int64_t{blockIdx.x} * kSignals + i] = static_cast<float>(scored > 0 ? sum / scored : 0);
  }
}

// ---- launchers -----------------------------------------------------------------------------------------------------

void add_router_entropy(Context& ctx, Tensor sums, ConstTensor probabilities) {
  const int64_t tokens = probabilities.dim(0);
  launch(ctx, router_entropy_kernel, blocks_for(tokens, kWarps), kThreads, 0, sums.as<float>(),
         probabilities.as<float>(), tokens, static_cast<int>(probabilities.dim(1)));
}

void add_expert_variance(Context& ctx, Tensor sums, ConstTensor rows, ConstTensor position) {
  const int64_t tokens = position.dim(0);
  for_type(rows.dtype, [&]<class T>(T) {
    launch(ctx, expert_variance_kernel<T>, blocks_for(tokens, kWarps), kThreads, 0, sums.as<float>(), rows.as<T>(),
           position.as<int32_t>(), tokens, static_cast<int>(position.dim(1)), rows.dim(1));
  });
}

void sample_signals(Context& ctx, Tensor signals, const TokenSignals& tokens, ConstTensor targets, int64_t time) {
  const auto data = [](const ConstTensor& x) { return x ? x.as<float>() : nullptr; };
  const TokenArrays in{.losses = data(tokens.losses),
                       .entropy = data(tokens.entropy),
                       .residual = data(tokens.residual),
                       .router_entropy = data(tokens.routing.router_entropy),
                       .expert_variance = data(tokens.routing.expert_variance),
                       .router_uncertainty = data(tokens.routing.router_uncertainty),
                       .per_pass = tokens.routing.passes > 0 ? 1.0f / static_cast<float>(tokens.routing.passes) : 0.0f};
  for_type(tokens.hidden ? tokens.hidden.dtype : DType::f32, [&]<class T>(T) {
    launch(ctx, sample_signals_kernel<T>, blocks_for(signals.dim(0), 1), kThreads, 32 * sizeof(double),
           signals.as<float>(), in, tokens.hidden ? tokens.hidden.as<T>() : nullptr, targets.as<int32_t>(), time,
           tokens.hidden ? tokens.hidden.dim(1) : 0);
  });
}

}  // namespace moe::cuda
