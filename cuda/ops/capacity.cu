#include "core/ops/capacity.h"

#include "core/base/token.h"
#include "cuda/device/launch.cuh"
#include "cuda/kernel/block.cuh"
#include "cuda/kernel/float_key.cuh"
#include "cuda/kernel/host_sum.cuh"
#include "cuda/kernel/ptx.cuh"

namespace moe::cuda {

static constexpr int kThreads = 256, kDigits = 256;

struct LimitShared {
  int counts[kDigits];  // histogram of a digit
  int slots[32];        // for block sums
  uint32_t prefix;      // leading digits of the key of the last assignment that is kept
  int wanted;           // number of assignments with this prefix that are kept
};

// Numbering of a block's assignments: by position slot by slot, by score token by token.
struct Assignments {
  const int32_t* indices;
  const float* weights;
  TokenGroups groups;
  int64_t group;
  int32_t expert;
  int64_t k;
  bool by_score, padding;

  __device__ int64_t slot(int64_t i) const {
    const int64_t place = by_score ? i / k : i % groups.size, j = by_score ? i % k : i / groups.size;
    return groups.token(group, place) * k + j;
  }
  __device__ bool has(int64_t s) const { return indices[s] == expert && groups.counts(s / k) != padding; }
  __device__ uint32_t key(int64_t s) const { return by_score ? key_of(weights[s]) : 0; }
};

// Finds the key of the assignment that takes the last of `room` places, from its highest digit down, by counts (integer
// sums do not depend on the order). shared.wanted: number of assignments with that key that are kept.
static __device__ uint32_t find_last_key(LimitShared& shared, const Assignments& in, int64_t slots, int room) {
  const int thread = static_cast<int>(threadIdx.x);
  if (thread == 0) shared.prefix = 0, shared.wanted = room;
  for (int shift = 24; shift >= 0; shift -= 8) {
    for (int d = thread; d < kDigits; d += kThreads) shared.counts[d] = 0;
    __syncthreads();
    const uint32_t prefix = shared.prefix;
    for (int64_t i = thread; i < slots; i += kThreads) {
      const int64_t s = in.slot(i);
      if (!in.has(s)) continue;
      const uint32_t key = in.key(s);
      if (shift == 24 || key >> (shift + 8) == prefix >> (shift + 8)) atomicAdd(&shared.counts[key >> shift & 255u], 1);
    }
    __syncthreads();
    if (thread == 0) {
      int left = shared.wanted, digit = kDigits - 1;
      for (; digit > 0 && shared.counts[digit] < left; --digit) left -= shared.counts[digit];
      shared.prefix = prefix | static_cast<uint32_t>(digit) << shift;
      shared.wanted = left;
    }
    __syncthreads();
  }
  return shared.prefix;
}

// One block per group and expert; only this block writes the slots that name the expert. Tokens come first, then
// padding gets the remaining room. Equal keys are kept in their order, by the sum over preceding threads and rounds.
static __global__ void limit_assignments_kernel(int32_t* kept, int32_t* demand, Assignments in, int experts,
                                                GroupRoom places) {
  LimitShared& shared = shared_memory<LimitShared>();
  in.group = blockIdx.x / experts;
  in.expert = static_cast<int32_t>(blockIdx.x % experts);
  const int64_t slots = in.groups.size * in.k;
  int counted = 0;
  for (int64_t j = threadIdx.x; j < in.groups.size; j += kThreads) {
    counted += in.groups.counts(in.groups.token(in.group, j));
  }
  int room = static_cast<int>(places.of(block_sum(counted, shared.slots)));
  for (int pass = 0; pass < 2; ++pass) {
    in.padding = pass == 1;
    int own = 0;
    for (int64_t i = threadIdx.x; i < slots; i += kThreads) own += in.has(in.slot(i));
    const int count = block_sum(own, shared.slots);
    if (!in.padding && threadIdx.x == 0) demand[blockIdx.x] = count;

    uint32_t last = 0;
    int wanted = min(room, count);
    if (in.by_score && wanted > 0 && wanted < count) {
      last = find_last_key(shared, in, slots, wanted);
      wanted = shared.wanted;
    }
    const bool none = room == 0;
    int before = 0;
    for (int64_t base = 0; base < slots; base += kThreads) {  // all threads take part, because they sum over the block
      const int64_t i = base + threadIdx.x, s = i < slots ? in.slot(i) : 0;
      const bool mine = i < slots && in.has(s);
      const uint32_t key = mine ? in.key(s) : 0;
      const bool tie = mine && key == last;
      int ties = 0;
      const int rank = before + block_exclusive_sum(tie ? 1 : 0, shared.slots, ties);
      before += ties;
      if (mine) kept[s] = !none && (count <= room || key > last || (tie && rank < wanted)) ? in.expert : -1;
    }
    room -= min(room, count);
  }
}

// One thread per token: clears its empty slots and counts its dropped assignments.
static __global__ void count_lost_kernel(int32_t* kept, int32_t* lost, const int32_t* indices, TokenGroups groups,
                                         int64_t tokens, int64_t k) {
  const int64_t t = thread_in_grid();
  if (t >= tokens) return;
  int count = 0;
  for (int64_t s = t * k; s < (t + 1) * k; ++s) {
    if (indices[s] < 0) kept[s] = -1;
    count += indices[s] >= 0 && kept[s] < 0;
  }
  if (groups.counts(t)) lost[t] += count;
}

// Sums of one token's weights: of all its choices, and of the kept ones.
struct WeightSums {
  float all = 0, kept = 0;
};
static __device__ WeightSums sums_of(const float* weights, const int32_t* indices, const int32_t* kept, int64_t begin,
                                     int64_t end) {
  WeightSums sums;
  for (int64_t s = begin; s < end; ++s) {
    if (indices[s] >= 0) sums.all += weights[s];
    if (kept[s] >= 0) sums.kept += weights[s];
  }
  return sums;
}

// One thread per token.
static __global__ void renormalise_after_drop_forward_kernel(float* y, const float* weights, const int32_t* indices,
                                                             const int32_t* kept, int64_t tokens, int64_t k) {
  const int64_t t = thread_in_grid();
  if (t >= tokens) return;
  const WeightSums sum = sums_of(weights, indices, kept, t * k, (t + 1) * k);
  const float scale = sum.kept == 0 ? 1.0f : sum.all / sum.kept;
  for (int64_t s = t * k; s < (t + 1) * k; ++s) y[s] = kept[s] < 0 ? 0.0f : weights[s] * scale;
}

static __global__ void renormalise_after_drop_backward_kernel(float* d_weights, const float* weights,
                                                              const int32_t* indices, const int32_t* kept,
                                                              int64_t tokens, int64_t k) {
  const int64_t t = thread_in_grid();
  if (t >= tokens) return;
  const WeightSums sum = sums_of(weights, indices, kept, t * k, (t + 1) * k);
  const bool scaled = sum.kept != 0;
  const float scale = scaled ? sum.all / sum.kept : 1.0f;
  float dot = 0;
  for (int64_t s = t * k; s < (t + 1) * k; ++s) dot += kept[s] < 0 ? 0.0f : d_weights[s] * weights[s];
  const float shared = scaled ? dot / sum.kept : 0.0f;
  for (int64_t s = t * k; s < (t + 1) * k; ++s) {
    d_weights[s] = kept[s] >= 0 ? (d_weights[s] - shared) * scale + shared : indices[s] >= 0 ? shared : 0.0f;
  }
}

// partial (blocks, 4): loss and number of the tokens with dropped assignments, then of the others; strided predictions.
static __global__ void loss_by_drops_kernel(double* partial, const float* losses, const int32_t* lost,
                                            const int32_t* targets, int64_t n, int64_t per) {
  double* slots = &shared_memory<double>();
  double sums[4] = {};
  for (int64_t t = thread_in_grid(); t < n; t += threads_in_grid()) {
    if (targets[t] == kIgnoreTarget) continue;
    bool dropped = false;
    for (int64_t i = t * per; i < (t + 1) * per; ++i) dropped = dropped || lost[i] > 0;
    sums[0] += dropped ? static_cast<double>(losses[t]) : 0.0;
    sums[1] += dropped ? 1.0 : 0.0;
    sums[2] += dropped ? 0.0 : static_cast<double>(losses[t]);
    sums[3] += dropped ? 0.0 : 1.0;
  }
  for (int i = 0; i < 4; ++i) {
    const double sum = block_sum(sums[i], slots);
    if (threadIdx.x == 0) partial[4 * blockIdx.x + i] = sum;
  }
}

// ---- launchers -----------------------------------------------------------------------------------------------------

void limit_assignments(Context& ctx, Tensor kept, Tensor demand, Tensor lost, ConstTensor indices, ConstTensor weights,
                       const TokenGroups& groups, const GroupRoom& room, DropRule rule) {
  const int64_t tokens = indices.dim(0), k = indices.dim(1), experts = demand.dim(1);
  const Assignments in{.indices = indices.as<int32_t>(),
                       .weights = weights.as<float>(),
                       .groups = groups,
                       .group = 0,
                       .expert = 0,
                       .k = k,
                       .by_score = rule == DropRule::score,
                       .padding = false};
  launch(ctx, limit_assignments_kernel, blocks_for(groups.count * experts, 1), kThreads, sizeof(LimitShared),
         kept.as<int32_t>(), demand.as<int32_t>(), in, static_cast<int>(experts), room);
  launch(ctx, count_lost_kernel, blocks_for(tokens, kThreads), kThreads, 0, kept.as<int32_t>(), lost.as<int32_t>(),
         indices.as<int32_t>(), groups, tokens, k);
}

void renormalise_after_drop_forward(Context& ctx, Tensor y, ConstTensor weights, ConstTensor indices,
                                    ConstTensor kept) {
  const int64_t tokens = weights.dim(0);
  launch(ctx, renormalise_after_drop_forward_kernel, blocks_for(tokens, kThreads), kThreads, 0, y.as<float>(),
         weights.as<float>(), indices.as<int32_t>(), kept.as<int32_t>(), tokens, weights.dim(1));
}

void renormalise_after_drop_backward(Context& ctx, Tensor d_weights, ConstTensor weights, ConstTensor indices,
                                     ConstTensor kept) {
  const int64_t tokens = weights.dim(0);
  launch(ctx, renormalise_after_drop_backward_kernel, blocks_for(tokens, kThreads), kThreads, 0, d_weights.as<float>(),
         weights.as<float>(), indices.as<int32_t>(), kept.as<int32_t>(), tokens, weights.dim(1));
}

LossByDrops loss_by_drops(Context& ctx, ConstTensor losses, ConstTensor lost, ConstTensor targets) {
  const int64_t n = losses.size(), per = n > 0 ? lost.size() / n : 1;
  const HostSums<4> sums(ctx);
  launch(ctx, loss_by_drops_kernel, dim3(kPartials), 128, 32 * sizeof(double), sums.partial(), losses.as<float>(),
         lost.as<int32_t>(), targets.as<int32_t>(), n, per);
  const auto [lost_loss, lost_tokens, kept_loss, kept_tokens] = sums.get();
  return {lost_loss, lost_tokens, kept_loss, kept_tokens};
}

}  // namespace moe::cuda
