#include "core/ops/posterior.h"

#include "cuda/device/launch.cuh"
#include "cuda/kernel/host_sum.cuh"
#include "cuda/kernel/vector.cuh"
#include "cuda/kernel/warp.cuh"

namespace moe::cuda {

static constexpr int kThreads = 256;

// One thread per element in all kernels but two: of chosen_deviation_kernel a thread owns a token, and the blocks of
// gaussian_kl_kernel stride over the weights.
template <class T>
__global__ void square_forward_kernel(T* y, const T* x, int64_t size) {
  const int64_t i = thread_in_grid();
  if (i < size) store(y + i, load(x + i) * load(x + i));
}

template <class T>
__global__ void square_backward_kernel(T* d_x, const T* d_y, const T* x, int64_t size) {
  const int64_t i = thread_in_grid();
  if (i < size) store(d_x + i, load(d_x + i) + 2.0f * load(x + i) * load(d_y + i));
}

template <class T>
__global__ void variance_forward_kernel(T* variance, const T* log_deviation, int64_t size) {
  const int64_t i = thread_in_grid();
  if (i < size) store(variance + i, expf(2.0f * load(log_deviation + i)));
}

template <class T>
__global__ void variance_backward_kernel(float* d_log_deviation, const float* d_variance, const T* log_deviation,
                                         int64_t size) {
  const int64_t i = thread_in_grid();
  if (i < size) d_log_deviation[i] += 2.0f * expf(2.0f * load(log_deviation + i)) * d_variance[i];
}

static __global__ void sample_logits_forward_kernel(float* logits, float* variance, RandomKey key, bool draws,
                                                    int64_t first, int64_t size) {
  const int64_t i = thread_in_grid();
  if (i >= size) return;
  const float deviation = sqrtf(fmaxf(variance[i], 0.0f));
  variance[i] = deviation;
  if (draws) logits[i] += deviation * key.normal(static_cast<uint64_t>(first + i));
}

static __global__ void sample_logits_backward_kernel(float* d_variance, const float* d_logits, const float* deviation,
                                                     RandomKey key, bool draws, int64_t first, int64_t size) {
  const int64_t i = thread_in_grid();
  if (i >= size) return;
  const bool varies = draws && deviation[i] > 0;
  d_variance[i] = varies ? d_logits[i] * key.normal(static_cast<uint64_t>(first + i)) / (2.0f * deviation[i]) : 0.0f;
}

template <class T>
__global__ void gaussian_kl_kernel(double* partial, const T* mean, const T* log_deviation, double prior, double factor,
                                   int64_t size) {
  double* slots = &shared_memory<double>();
  double sum = 0;
  for (int64_t i = thread_in_grid(); i < size; i += threads_in_grid()) {
    const double rho = static_cast<double>(load(log_deviation + i)),
                 distance = static_cast<double>(load(mean + i)) / prior;
    sum += 0.5 * (exp(2 * rho) / (prior * prior) + distance * distance - 1) + log(prior) - rho;
  }
  sum = block_sum(sum, slots);
  if (threadIdx.x == 0) partial[blockIdx.x] = factor * sum;
}

template <class T>
__global__ void gaussian_kl_backward_kernel(float* d_mean, float* d_log_deviation, const T* mean,
                                            const T* log_deviation, float precision, float factor, int64_t size) {
  const int64_t i = thread_in_grid();
  if (i >= size) return;
  d_mean[i] += factor * precision * load(mean + i);
  d_log_deviation[i] += factor * (precision * expf(2.0f * load(log_deviation + i)) - 1.0f);
}

struct DeviceDraw {
  RandomKey key;
  bool draws;
  int64_t first_token, tokens_per_draw;

  __device__ int64_t member(int64_t t, int64_t members) const {
    if (!draws) return -1;
    const int64_t number = (first_token + t) / tokens_per_draw;
    return static_cast<int64_t>(key.words(static_cast<uint64_t>(number))[0] % static_cast<uint64_t>(members));
  }
};

static __global__ void choose_member_forward_kernel(float* logits, float* deviation, const float* all, DeviceDraw draw,
                                                    int64_t experts, int64_t members, int64_t size) {
  const int64_t i = thread_in_grid();
  if (i >= size) return;
  const int64_t member = draw.member(i / experts, members);
  const float* own = all + i * members;
  const float share = 1.0f / static_cast<float>(members);
  float mean = 0, squares = 0;
  for (int64_t m = 0; m < members; ++m) mean += share * own[m];
  for (int64_t m = 0; m < members; ++m) squares += share * (own[m] - mean) * (own[m] - mean);
  logits[i] = member < 0 ? mean : own[member];
  deviation[i] = sqrtf(squares);
}

static __global__ void choose_member_backward_kernel(float* d_all, const float* d_logits, DeviceDraw draw,
                                                     int64_t experts, int64_t members, int64_t size) {
  const int64_t i = thread_in_grid();
  if (i >= size) return;
  const int64_t member = draw.member(i / experts, members);
  const float share = 1.0f / static_cast<float>(members);
  for (int64_t m = 0; m < members; ++m) {
    d_all[i * members + m] = member < 0 ? share * d_logits[i] : m == member ? d_logits[i] : 0.0f;
  }
}

static __global__ void chosen_deviation_kernel(float* uncertainty, const float* deviation, const int32_t* indices,
                                               int64_t slots, int64_t tokens, int64_t experts) {
  const int64_t t = thread_in_grid();
  if (t >= tokens) return;
  float sum = 0;
  int filled = 0;
  for (int64_t j = t * slots; j < (t + 1) * slots; ++j) {
    if (indices[j] < 0) continue;
    sum += deviation[t * experts + indices[j]];
    ++filled;
  }
  uncertainty[t] = filled > 0 ? sum / static_cast<float>(filled) : 0.0f;
}

// ---- launchers -----------------------------------------------------------------------------------------------------

void square_forward(Context& ctx, Tensor y, ConstTensor x) {
  for_type(x.dtype, [&]<class T>(T) {
    launch(ctx, square_forward_kernel<T>, blocks_for(x.size(), kThreads), kThreads, 0, y.as<T>(), x.as<T>(), x.size());
  });
}

void square_backward(Context& ctx, Tensor d_x, ConstTensor d_y, ConstTensor x) {
  for_type(x.dtype, [&]<class T>(T) {
    launch(ctx, square_backward_kernel<T>, blocks_for(x.size(), kThreads), kThreads, 0, d_x.as<T>(), d_y.as<T>(),
           x.as<T>(), x.size());
  });
}

void variance_forward(Context& ctx, Tensor variance, ConstTensor log_deviation) {
  for_type(variance.dtype, [&]<class T>(T) {
    launch(ctx, variance_forward_kernel<T>, blocks_for(variance.size(), kThreads), kThreads, 0, variance.as<T>(),
           log_deviation.as<T>(), variance.size());
  });
}

void variance_backward(Context& ctx, Tensor d_log_deviation, ConstTensor d_variance, ConstTensor log_deviation) {
  for_type(log_deviation.dtype, [&]<class T>(T) {
    launch(ctx, variance_backward_kernel<T>, blocks_for(d_variance.size(), kThreads), kThreads, 0,
           d_log_deviation.as<float>(), d_variance.as<float>(), log_deviation.as<T>(), d_variance.size());
  });
}

void sample_logits_forward(Context& ctx, Tensor logits, Tensor variance, const RandomKey* key, int64_t first_token) {
  launch(ctx, sample_logits_forward_kernel, blocks_for(logits.size(), kThreads), kThreads, 0, logits.as<float>(),
         variance.as<float>(), key ? *key : RandomKey{}, key != nullptr, first_token * logits.dim(1), logits.size());
}

void sample_logits_backward(Context& ctx, Tensor d_variance, ConstTensor d_logits, ConstTensor deviation,
                            const RandomKey* key, int64_t first_token) {
  launch(ctx, sample_logits_backward_kernel, blocks_for(d_logits.size(), kThreads), kThreads, 0, d_variance.as<float>(),
         d_logits.as<float>(), deviation.as<float>(), key ? *key : RandomKey{}, key != nullptr,
         first_token * d_logits.dim(1), d_logits.size());
}

void gaussian_kl_sum(Context& ctx, Tensor sum, ConstTensor mean, ConstTensor log_deviation, double prior,
                     double factor) {
  ScratchScope scratch(ctx);
  const int blocks = partials_for(mean.size(), kThreads);
  double* partial = scratch.allocate(Shape{blocks}, DType::f64).as<double>();
  for_type(mean.dtype, [&]<class T>(T) {
    launch(ctx, gaussian_kl_kernel<T>, dim3(static_cast<unsigned>(blocks)), kThreads, 32 * sizeof(double), partial,
           mean.as<T>(), log_deviation.as<T>(), prior, factor, mean.size());
  });
  add_to_sums(ctx, {sum}, partial, 1, blocks);
}

void gaussian_kl_backward(Context& ctx, Tensor d_mean, Tensor d_log_deviation, ConstTensor mean,
                          ConstTensor log_deviation, double prior, double factor) {
  for_type(mean.dtype, [&]<class T>(T) {
    launch(ctx, gaussian_kl_backward_kernel<T>, blocks_for(mean.size(), kThreads), kThreads, 0, d_mean.as<float>(),
           d_log_deviation.as<float>(), mean.as<T>(), log_deviation.as<T>(), static_cast<float>(1 / (prior * prior)),
           static_cast<float>(factor), mean.size());
  });
}

static DeviceDraw on_device_draw(const MemberDraw& draw) {
  return {.key = draw.key ? *draw.key : RandomKey{},
          .draws = draw.key != nullptr,
          .first_token = draw.first_token,
          .tokens_per_draw = draw.tokens_per_draw};
}

void choose_member_forward(Context& ctx, Tensor logits, Tensor deviation, ConstTensor all, const MemberDraw& draw) {
  launch(ctx, choose_member_forward_kernel, blocks_for(logits.size(), kThreads), kThreads, 0, logits.as<float>(),
         deviation.as<float>(), all.as<float>(), on_device_draw(draw), logits.dim(1), all.dim(1) / logits.dim(1),
         logits.size());
}

void choose_member_backward(Context& ctx, Tensor d_all, ConstTensor d_logits, const MemberDraw& draw) {
  launch(ctx, choose_member_backward_kernel, blocks_for(d_logits.size(), kThreads), kThreads, 0, d_all.as<float>(),
         d_logits.as<float>(), on_device_draw(draw), d_logits.dim(1), d_all.dim(1) / d_logits.dim(1), d_logits.size());
}

void chosen_deviation(Context& ctx, Tensor uncertainty, ConstTensor deviation, ConstTensor indices) {
  launch(ctx, chosen_deviation_kernel, blocks_for(deviation.dim(0), kThreads), kThreads, 0, uncertainty.as<float>(),
         deviation.as<float>(), indices.as<int32_t>(), indices.dim(1), deviation.dim(0), deviation.dim(1));
}

}  // namespace moe::cuda
