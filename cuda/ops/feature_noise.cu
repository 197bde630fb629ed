#include "core/ops/feature_noise.h"

#include <algorithm>
#include <type_traits>

#include "core/base/fast_normal.h"
#include "core/base/token.h"
#include "cuda/kernel/host_sum.cuh"
#include "cuda/kernel/vector.cuh"

namespace moe::cuda {

static constexpr int kThreads = 256, kWarps = kThreads / kWarp;
static constexpr int64_t kMomentBlocks = 64;  // blocks over the tokens

// One thread per sequence and feature, with neighbouring features in neighbouring threads: Welford's update from token
// to token, as on the CPU.
template <class T, bool kCausal>
__global__ void feature_statistics_kernel(float* mean, float* deviation, const T* x, const int32_t* lengths,
                                          int64_t sequences, int64_t time, int64_t d) {
  const int64_t i = thread_in_grid(), first = i / d * time * d + i % d;
  if (i >= sequences * d) return;
  const int64_t length = lengths != nullptr ? max(lengths[i / d], 1) : time;
  float m = 0, s = 0;
#pragma unroll 4
  for (int64_t t = 0; t < length; ++t) {
    const float value = load(x + first + t * d), weight = 1.0f / static_cast<float>(t + 1), difference = value - m;
    m += difference * weight;
    s += difference * (value - m);
    if constexpr (kCausal) {
      mean[first + t * d] = m;
      deviation[first + t * d] = sqrtf(fmaxf(s * weight, 0.0f));
    }
  }
  s = sqrtf(fmaxf(s * (1.0f / static_cast<float>(length)), 0.0f));
  for (int64_t t = kCausal ? length : 0; t < time; ++t) {
    mean[first + t * d] = m;
    deviation[first + t * d] = s;
  }
}

// One thread per element; its index in the global batch starts at `first`. `period`: number of elements after which the
// statistics repeat.
template <class T>
__global__ void feature_noise_forward_kernel(T* x_hat, T* gain, const T* x, const float* mean, const float* deviation,
                                             RandomKey key, int64_t first, int64_t size, int64_t period) {
  const int64_t i = thread_in_grid();
  if (i >= size) return;
  const auto words = key.words(static_cast<uint64_t>(first + i));
  const NormalPair noise = fast_normal_pair(words[0], words[1]);
  const float sigma = deviation[i % period], n1 = 1.0f + sigma * noise.first;
  store(gain + i, n1);
  store(x_hat + i, n1 * load(x + i) + mean[i % period] + sigma * noise.second);
}

template <class T, int N>
__global__ void feature_noise_backward_kernel(T* d_x, const T* d_x_hat, const T* gain, int64_t size) {
  const int64_t i = thread_in_grid() * N;
  if (i >= size) return;
  Floats<N> out = load_vector<N>(d_x + i);
  const Floats<N> grad = load_vector<N>(d_x_hat + i), n1 = load_vector<N>(gain + i);
#pragma unroll
  for (int j = 0; j < N; ++j) out.v[j] += n1.v[j] * grad.v[j];
  store_vector(d_x + i, out);
}

// A block takes 32 features, one per lane. Tokens are strided over the warps of gridDim.y blocks; a block's warps are
// added up in order. partial (blocks over tokens, 2 d + 1). Shared memory: (2, warps, 32) f64.
template <class T>
__global__ void moment_sums_kernel(double* partial, const T* x, const int32_t* targets, int64_t tokens, int64_t d) {
  double* shared = &shared_memory<double>();
  const int lane = lane_index(), warp = warp_index();
  const int64_t feature = int64_t{blockIdx.x} * kWarp + lane;
  double sum = 0, squares = 0, scored = 0;
  for (int64_t t = int64_t{blockIdx.y} * kWarps + warp; t < tokens; t += int64_t{gridDim.y} * kWarps) {
    if (targets[t] == kIgnoreTarget) continue;
    scored += 1;
    const double value = feature < d ? static_cast<double>(load(x + t * d + feature)) : 0.0;
    sum += value;
    squares += value * value;
  }
  double* out = partial + blockIdx.y * (2 * d + 1);
  shared[threadIdx.x] = sum;
  shared[kThreads + threadIdx.x] = squares;
  __syncthreads();
  if (warp == 0 && feature < d) {
    for (int w = 1; w < kWarps; ++w) {
      sum += shared[w * kWarp + lane];
      squares += shared[kThreads + w * kWarp + lane];
    }
    out[feature] = sum;
    out[d + feature] = squares;
  }
  if (blockIdx.x > 0) return;  // the same for the whole block; only the first one counts the tokens
  __syncthreads();
  if (lane == 0) shared[warp] = scored;
  __syncthreads();
  if (threadIdx.x > 0) return;
  for (int w = 1; w < kWarps; ++w) scored += shared[w];
  out[2 * d] = scored;
}

static __global__ void update_moments_kernel(float* state, const double* sums, int64_t n, double decay) {
  const int64_t i = thread_in_grid();
  if (i >= n || sums[n - 1] == 0) return;
  state[i] = static_cast<float>(decay * static_cast<double>(state[i]) + (1 - decay) * sums[i] / sums[n - 1]);
}

static __global__ void moments_to_statistics_kernel(float* mean, float* deviation, const float* state, int64_t d) {
  const int64_t i = thread_in_grid();
  if (i >= d) return;
  const float weight = state[2 * d] > 0 ? 1.0f / state[2 * d] : 0.0f, m = state[i] * weight;
  mean[i] = m;
  deviation[i] = sqrtf(fmaxf(state[d + i] * weight - m * m, 0.0f));
}

// ---- launchers -----------------------------------------------------------------------------------------------------

void feature_statistics(Context& ctx, Tensor mean, Tensor deviation, ConstTensor x, ConstTensor lengths, int64_t time,
                        NoiseStatistics statistics) {
  const int64_t d = x.dim(1), sequences = time > 0 ? x.dim(0) / time : 0;
  for_type(x.dtype, [&]<class T>(T) {
    launch(ctx,
           statistics == NoiseStatistics::causal ? feature_statistics_kernel<T, true>
                                                 : feature_statistics_kernel<T, false>,
           blocks_for(sequences * d, 128), 128, 0, mean.as<float>(), deviation.as<float>(), x.as<T>(),
           lengths ? lengths.as<int32_t>() : nullptr, sequences, time, d);
  });
}

void feature_noise_forward(Context& ctx, Tensor x_hat, Tensor gain, ConstTensor x, ConstTensor mean,
                           ConstTensor deviation, const RandomKey& key, int64_t first_token) {
  for_type(x.dtype, [&]<class T>(T) {
    launch(ctx, feature_noise_forward_kernel<T>, blocks_for(x.size(), kThreads), kThreads, 0, x_hat.as<T>(),
           gain.as<T>(), x.as<T>(), mean.as<float>(), deviation.as<float>(), key, first_token * x.dim(1), x.size(),
           mean.size());
  });
}

void feature_noise_backward(Context& ctx, Tensor d_x, ConstTensor d_x_hat, ConstTensor gain) {
  for_type(d_x.dtype, [&]<class T>(T) {
    T* out = d_x.as<T>();
    const T *grad = d_x_hat.as<T>(), *n1 = gain.as<T>();
    for_width(
        gain.size(),
        [&]<int N>(std::integral_constant<int, N>) {
          launch(ctx, feature_noise_backward_kernel<T, N>, blocks_for(gain.size(), kThreads * N), kThreads, 0, out,
                 grad, n1, gain.size());
        },
        out, grad, n1);
  });
}

void moment_sums(Context& ctx, Tensor sums, ConstTensor x, ConstTensor targets) {
  const int64_t tokens = x.dim(0), d = x.dim(1), blocks = std::min(kMomentBlocks, (tokens + kWarps - 1) / kWarps);
  ScratchScope scratch(ctx);
  double* partial = scratch.allocate(Shape{blocks, 2 * d + 1}, DType::f64).as<double>();
  for_type(x.dtype, [&]<class T>(T) {
    launch(ctx, moment_sums_kernel<T>,
           dim3(static_cast<unsigned>((d + kWarp - 1) / kWarp), static_cast<unsigned>(blocks)), kThreads,
           2 * kThreads * sizeof(double), partial, x.as<T>(), targets.as<int32_t>(), tokens, d);
  });
  add_to_sums(ctx, {sums}, partial, 2 * d + 1, static_cast<int>(blocks));
}

void update_moments(Context& ctx, Tensor state, ConstTensor sums, double decay) {
  ScratchScope scratch(ctx);
  const ConstTensor here = on_device(ctx, scratch, sums);
  launch(ctx, update_moments_kernel, blocks_for(state.dim(0), kThreads), kThreads, 0, state.as<float>(),
         here.as<double>(), state.dim(0), decay);
}

void moments_to_statistics(Context& ctx, Tensor mean, Tensor deviation, ConstTensor state) {
  launch(ctx, moments_to_statistics_kernel, blocks_for(mean.dim(1), kThreads), kThreads, 0, mean.as<float>(),
         deviation.as<float>(), state.as<float>(), mean.dim(1));
}

}  // namespace moe::cuda
