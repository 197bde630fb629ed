#include "core/ops/cross_entropy.h"

#include <cfloat>
#include <type_traits>

#include "cuda/kernel/block.cuh"
#include "cuda/kernel/host_sum.cuh"
#include "cuda/kernel/vector.cuh"

namespace moe::cuda {

struct RowShared {
  float largest[32], sum[32], squares[32], moment[32];
  int argmax[32];
};

// Running statistics of some of a row's logits: the largest logit with its index, and the sum of e = e^(logit -
// largest); with kStatistics also the sums of e^2 and of e (logit - largest).
template <bool kStatistics>
struct Online {
  Indexed largest{-FLT_MAX, 0x7FFFFFFF};
  float sum = 0, squares = 0, moment = 0;

  // Rescales the sums from the old largest logit to the new one; below = old - new.
  __device__ void lower(float below) {
    const float factor = expf(below);
    if constexpr (kStatistics) {
      moment = factor * (moment + sum * fmaxf(below, kLowest));
      squares *= factor * factor;
    }
    sum *= factor;
  }
  __device__ void add(float logit, int place) {
    if (logit > largest.value) {
      lower(largest.value - logit);
      largest = {logit, place};
    } else if (logit == largest.value && place < largest.index) {
      largest.index = place;
    }
    const float e = expf(logit - largest.value);
    sum += e;  // NaN propagates into the sum
    if constexpr (kStatistics) {
      squares += e * e;
      moment += e * fmaxf(logit - largest.value, kLowest);
    }
  }
  __device__ void add(Online other) {
    const Indexed both = larger(largest, other.largest);
    lower(largest.value - both.value);
    other.lower(other.largest.value - both.value);
    sum += other.sum;
    squares += other.squares;
    moment += other.moment;
    largest = both;
  }

 private:
  static constexpr float kLowest = -1000;  // e is 0 from here on down; 0 times infinity would be NaN
};

// The optional inputs and outputs of a row.
struct RowExtras {
  const float* weights;
  float *entropy, *residual;
  float smoothing;
};

// One block per row, which is read twice and written once. Threads take strided vectors; their partial results are
// merged in the order of lanes and warps.
template <class T, int N, bool kStatistics>
__global__ void cross_entropy_kernel(float* losses, int32_t* correct, T* logits, const int32_t* targets, int64_t vocab,
                                     float gradient_scale, RowExtras extras) {
  RowShared& shared = shared_memory<RowShared>();
  const int64_t token = blockIdx.x;
  T* row = logits + token * vocab;
  const int32_t target = targets[token];
  const int64_t step = int64_t{blockDim.x} * N;
  if (target == kIgnoreTarget) {  // the condition is the same for the whole block
    if (threadIdx.x == 0) {
      losses[token] = 0;
      if (correct) correct[token] = 0;
      if constexpr (kStatistics) extras.entropy[token] = extras.residual[token] = 0;
    }
    if (gradient_scale == 0) return;
    for (int64_t i = threadIdx.x * N; i < vocab; i += step) store_vector(row + i, Floats<N>{});
    return;
  }
  Online<kStatistics> all;
  for (int64_t i = threadIdx.x * N; i < vocab; i += step) {
    const Floats<N> z = load_vector<N>(row + i);
#pragma unroll
    for (int j = 0; j < N; ++j) all.add(z.v[j], static_cast<int>(i) + j);
  }
#pragma unroll
  for (int offset = kWarp / 2; offset > 0; offset /= 2) {
    Online<kStatistics> other;
    other.largest = {__shfl_xor_sync(kAllLanes, all.largest.value, offset),
                     __shfl_xor_sync(kAllLanes, all.largest.index, offset)};
    other.sum = __shfl_xor_sync(kAllLanes, all.sum, offset);
    if constexpr (kStatistics) {
      other.squares = __shfl_xor_sync(kAllLanes, all.squares, offset);
      other.moment = __shfl_xor_sync(kAllLanes, all.moment, offset);
    }
    all.add(other);
  }
  if (lane_index() == 0) {
    shared.largest[warp_index()] = all.largest.value;
    shared.argmax[warp_index()] = all.largest.index;
    shared.sum[warp_index()] = all.sum;
    if constexpr (kStatistics) {
      shared.squares[warp_index()] = all.squares;
      shared.moment[warp_index()] = all.moment;
    }
  }
  const float wanted = load(row + target);
  __syncthreads();  // also ensures that all threads have read before any thread writes
  Online<kStatistics> whole;
  for (int w = 0; w < static_cast<int>(blockDim.x) / kWarp; ++w) {
    Online<kStatistics> part;
    part.largest = {shared.largest[w], shared.argmax[w]};
    part.sum = shared.sum[w];
    if constexpr (kStatistics) part.squares = shared.squares[w], part.moment = shared.moment[w];
    whole.add(part);
  }
  if (threadIdx.x == 0) {
    const float loss = logf(whole.sum) + whole.largest.value - wanted;
    losses[token] = loss;
    if (correct) correct[token] = whole.largest.index == target;
    if constexpr (kStatistics) {
      extras.entropy[token] = logf(whole.sum) - whole.moment / whole.sum;
      extras.residual[token] = sqrtf(fmaxf(whole.squares / (whole.sum * whole.sum) - 2 * expf(-loss) + 1, 0.0f));
    }
  }
  if (gradient_scale == 0) return;
  if (extras.weights) gradient_scale *= extras.weights[token];
  const float factor = gradient_scale / whole.sum;
  const float spread = gradient_scale * extras.smoothing / static_cast<float>(vocab);
  const float taken = gradient_scale * (1 - extras.smoothing);
  for (int64_t i = threadIdx.x * N; i < vocab; i += step) {
    Floats<N> z = load_vector<N>(row + i);
#pragma unroll
    for (int j = 0; j < N; ++j) {
      z.v[j] = expf(z.v[j] - whole.largest.value) * factor - spread;
      if (i + j == target) z.v[j] -= taken;
    }
    store_vector(row + i, z);
  }
}

// partial (blocks, 3): sums of losses, scored tokens, correct ones, of strided tokens
static __global__ void loss_sums_kernel(double* partial, const float* losses, const int32_t* correct,
                                        const int32_t* targets, int64_t tokens) {
  double* slots = &shared_memory<double>();
  double loss = 0, scored = 0, hits = 0;
  for (int64_t t = thread_in_grid(); t < tokens; t += threads_in_grid()) {
    if (targets[t] == kIgnoreTarget) continue;
    loss += static_cast<double>(losses[t]);
    scored += 1;
    hits += correct[t];
  }
  loss = block_sum(loss, slots);
  scored = block_sum(scored, slots);
  hits = block_sum(hits, slots);
  if (threadIdx.x > 0) return;
  partial[3 * blockIdx.x] = loss;
  partial[3 * blockIdx.x + 1] = scored;
  partial[3 * blockIdx.x + 2] = hits;
}

// ---- launchers -----------------------------------------------------------------------------------------------------

void cross_entropy(Context& ctx, Tensor losses, Tensor correct, Tensor logits, ConstTensor targets,
                   double gradient_scale, const CrossEntropyExtras& extras) {
  const int64_t tokens = logits.dim(0), vocab = logits.dim(1);
  for_type(logits.dtype, [&]<class T>(T) {
    T* z = logits.as<T>();
    const auto choose = [&]<bool kStatistics>(std::bool_constant<kStatistics>) {
      return in_vectors<T>(vocab, z) ? cross_entropy_kernel<T, kPerVector<T>, kStatistics>
                                     : cross_entropy_kernel<T, 1, kStatistics>;
    };
    const auto kernel = extras.entropy ? choose(std::true_type()) : choose(std::false_type());
    launch(ctx, kernel, blocks_for(tokens, 1), vocab > 8192 ? 512 : 128, sizeof(RowShared), losses.as<float>(),
           correct ? correct.as<int32_t>() : nullptr, z, targets.as<int32_t>(), vocab,
           static_cast<float>(gradient_scale),
           RowExtras{extras.weights ? extras.weights.as<float>() : nullptr,
                     extras.entropy ? extras.entropy.as<float>() : nullptr,
                     extras.residual ? extras.residual.as<float>() : nullptr, static_cast<float>(extras.smoothing)});
  });
}

LossSums loss_sums(Context& ctx, ConstTensor losses, ConstTensor correct, ConstTensor targets) {
  const HostSums<3> sums(ctx);
  launch(ctx, loss_sums_kernel, dim3(kPartials), 128, 32 * sizeof(double), sums.partial(), losses.as<float>(),
         correct.as<int32_t>(), targets.as<int32_t>(), losses.size());
  const auto [loss, scored, hits] = sums.get();
  return {loss, scored, hits};
}

}  // namespace moe::cuda
