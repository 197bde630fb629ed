#include "core/ops/competition.h"

#include <algorithm>
#include <type_traits>

#include "cuda/kernel/host_sum.cuh"
#include "cuda/kernel/vector.cuh"

namespace moe::cuda {

static constexpr int kThreads = 256;

static __device__ float softplus(float x) {
  return fmaxf(x, 0.0f) + log1pf(expf(-fabsf(x)));
}

static __global__ void choose_all_kernel(int32_t* indices, int64_t size, int64_t experts) {
  const int64_t i = thread_in_grid();
  if (i < size) indices[i] = static_cast<int32_t>(i % experts);
}

// One warp per row, N columns per lane at a time; sums are in the order of the lanes.
template <class T, int N>
__global__ void response_forward_kernel(float* scores, const T* rows, int64_t count, int64_t d, Response response) {
  const int64_t row = warp_in_grid();
  if (row >= count) return;
  float sum = 0;
  for (int64_t i = lane_index() * N; i < d; i += kWarp * N) {
    const Floats<N> x = load_vector<N>(rows + row * d + i);
#pragma unroll
    for (int j = 0; j < N; ++j) sum += response == Response::norm ? x.v[j] * x.v[j] : softplus(x.v[j]);
  }
  sum = warp_sum(sum);
  if (lane_index() == 0) scores[row] = response == Response::norm ? sqrtf(sum) : sum / static_cast<float>(d);
}

// One warp per row.
template <class T, int N>
__global__ void response_backward_kernel(T* d_rows, const float* d_scores, const float* scores, const T* rows,
                                         int64_t count, int64_t d, Response response) {
  const int64_t row = warp_in_grid();
  if (row >= count || d_scores[row] == 0) return;
  const bool by_norm = response == Response::norm;
  const float factor =
      by_norm ? (scores[row] > 0 ? d_scores[row] / scores[row] : 0.0f) : d_scores[row] / static_cast<float>(d);
  for (int64_t i = row * d + lane_index() * N; i < (row + 1) * d; i += kWarp * N) {
    const Floats<N> x = load_vector<N>(rows + i);
    Floats<N> out = load_vector<N>(d_rows + i);
#pragma unroll
    for (int j = 0; j < N; ++j) out.v[j] += by_norm ? factor * x.v[j] : factor / (1.0f + expf(-x.v[j]));
    store_vector(d_rows + i, out);
  }
}

// One warp per token, a lane per slot.
static __global__ void share_weights_forward_kernel(float* weights, const float* scores, const int32_t* indices,
                                                    int64_t tokens, int64_t experts, int64_t k) {
  const int64_t t = warp_in_grid();
  if (t >= tokens) return;
  float sum = 0;
  for (int64_t j = t * k + lane_index(); j < (t + 1) * k; j += kWarp) sum += scores[t * experts + indices[j]];
  sum = warp_sum(sum);
  for (int64_t j = t * k + lane_index(); j < (t + 1) * k; j += kWarp) {
    weights[j] = sum > 0 ? scores[t * experts + indices[j]] / sum : 1.0f / static_cast<float>(k);
  }
}

// One warp per token; chosen experts are distinct, so every score has one writer.
static __global__ void share_weights_backward_kernel(float* d_scores, const float* d_weights, const float* scores,
                                                     const float* weights, const int32_t* indices, int64_t tokens,
                                                     int64_t experts, int64_t k) {
  const int64_t t = warp_in_grid();
  if (t >= tokens) return;
  float sum = 0, mean = 0;
  for (int64_t j = t * k + lane_index(); j < (t + 1) * k; j += kWarp) {
    sum += scores[t * experts + indices[j]];
    mean += weights[j] * d_weights[j];
  }
  sum = warp_sum(sum);
  mean = warp_sum(mean);
  if (!(sum > 0)) return;
  for (int64_t j = t * k + lane_index(); j < (t + 1) * k; j += kWarp) {
    d_scores[t * experts + indices[j]] += (d_weights[j] - mean) / sum;
  }
}

// One warp per token.
static __global__ void spread_chosen_kernel(float* all, const float* values, const int32_t* indices, int64_t tokens,
                                            int64_t experts, int64_t k) {
  const int64_t t = warp_in_grid();
  if (t >= tokens) return;
  for (int64_t e = lane_index(); e < experts; e += kWarp) all[t * experts + e] = 0;
  __syncwarp();  // another lane may have cleared the element that this one writes
  for (int64_t j = t * k + lane_index(); j < (t + 1) * k; j += kWarp) {
    if (indices[j] >= 0) all[t * experts + indices[j]] = values[j];
  }
}

static __global__ void gather_chosen_kernel(float* values, const float* all, const int32_t* indices, int64_t slots,
                                            int64_t experts, int64_t k) {
  const int64_t j = thread_in_grid();
  if (j < slots) values[j] = indices[j] < 0 ? 0.0f : all[j / k * experts + indices[j]];
}

struct DistillationTerm {
  const float *p, *q;
  const int32_t* indices;
  int64_t experts, k;
  double chosen_weight;

  __device__ double square(int64_t i) const {
    const double difference = static_cast<double>(p[i]) - static_cast<double>(q[i]);
    return difference * difference;
  }
  __device__ double operator()(int64_t t) const {
    double all = 0, chosen = 0;
    for (int64_t e = lane_index(); e < experts; e += kWarp) all += square(t * experts + e);
    for (int64_t j = t * k + lane_index(); j < (t + 1) * k; j += kWarp) {
      if (indices[j] >= 0) chosen += square(t * experts + indices[j]);
    }
    return all / static_cast<double>(experts) + chosen_weight * chosen / static_cast<double>(k);
  }
};

// One warp per token, which computes the gradient with respect to p twice: for its mean, and for the result.
static __global__ void distillation_backward_kernel(float* d_logits, float* d_q, const float* p, const float* q,
                                                    const int32_t* indices, const int32_t* targets, int64_t tokens,
                                                    int64_t experts, int64_t k, float over_all, float over_chosen) {
  const int64_t t = warp_in_grid();
  if (t >= tokens || targets[t] == kIgnoreTarget) return;
  const float *is = p + t * experts, *wanted = q + t * experts;
  const auto d_p = [&](int64_t e) {
    float factor = over_all;
    for (int64_t j = t * k; j < (t + 1) * k; ++j) factor += indices[j] == e ? over_chosen : 0.0f;
    return factor * (is[e] - wanted[e]);
  };
  float mean = 0;
  for (int64_t e = lane_index(); e < experts; e += kWarp) mean += d_p(e) * is[e];
  mean = warp_sum(mean);
  for (int64_t e = lane_index(); e < experts; e += kWarp) {
    const float d = d_p(e);
    d_logits[t * experts + e] += is[e] * (d - mean);
    if (d_q) d_q[t * experts + e] -= d;
  }
}

// Inner products of two rows, on every lane.
struct Products {
  float ab, aa, bb;
};
template <class T, int N>
static __device__ Products products_of(const T* a, const T* b, int64_t d) {
  Products sums{0, 0, 0};
  for (int64_t i = lane_index() * N; i < d; i += kWarp * N) {
    const Floats<N> x = load_vector<N>(a + i), y = load_vector<N>(b + i);
#pragma unroll
    for (int j = 0; j < N; ++j) {
      sums.ab += x.v[j] * y.v[j];
      sums.aa += x.v[j] * x.v[j];
      sums.bb += y.v[j] * y.v[j];
    }
  }
  return {warp_sum(sums.ab), warp_sum(sums.aa), warp_sum(sums.bb)};
}

template <class T, int N>
struct OutputSimilarityTerm {
  const T* rows;
  const int32_t* position;
  int64_t d, k;

  __device__ double operator()(int64_t t) const {
    double cosines = 0;
    for (int64_t i = t * k; i < (t + 1) * k; ++i) {
      for (int64_t j = t * k; j < i; ++j) {
        if (position[i] < 0 || position[j] < 0) continue;  // the whole warp
        const Products sums = products_of<T, N>(rows + position[i] * d, rows + position[j] * d, d);
        const double squares = static_cast<double>(sums.aa) * static_cast<double>(sums.bb);
        if (squares > 0) cosines += static_cast<double>(sums.ab) / sqrt(squares);
      }
    }
    return lane_index() == 0 ? 2 * cosines / static_cast<double>(k * k) : 0.0;
  }
};

// One warp per token, which owns its rows. Shared memory of a warp, (2, k): the divisors of a row's cosines, and the
// coefficient of the row itself in its gradient. Gradients are made column by column, so each is rounded once.
template <class T>
__global__ void output_similarity_backward_kernel(T* d_rows, const T* rows, const int32_t* position,
                                                  const int32_t* targets, int64_t tokens, int64_t d, int64_t k,
                                                  float scale) {
  const int64_t t = warp_in_grid();
  if (t >= tokens || targets[t] == kIgnoreTarget) return;
  float *inverse = &shared_memory<float>() + 2 * k * warp_index(), *own = inverse + k;
  const int32_t* at = position + t * k;
  for (int64_t i = 0; i < k; ++i) {
    const float squares = at[i] < 0 ? 0.0f : products_of<T, 1>(rows + at[i] * d, rows + at[i] * d, d).aa;
    if (lane_index() == 0) inverse[i] = squares > 0 ? 1.0f / sqrtf(squares) : 0.0f, own[i] = 0;
  }
  __syncwarp();
  for (int64_t i = 0; i < k; ++i) {
    for (int64_t j = 0; j < i; ++j) {
      if (at[i] < 0 || at[j] < 0) continue;  // the whole warp
      const float dot = products_of<T, 1>(rows + at[i] * d, rows + at[j] * d, d).ab;
      const float cosine = scale * dot * inverse[i] * inverse[j];
      if (lane_index() == 0) own[i] += cosine * inverse[i] * inverse[i], own[j] += cosine * inverse[j] * inverse[j];
    }
  }
  __syncwarp();
  for (int64_t c = lane_index(); c < d; c += kWarp) {
    for (int64_t i = 0; i < k; ++i) {
      if (at[i] < 0) continue;
      float sum = -own[i] * load(rows + at[i] * d + c);
      for (int64_t j = 0; j < k; ++j) {
        if (j != i && at[j] >= 0) sum += scale * inverse[i] * inverse[j] * load(rows + at[j] * d + c);
      }
      store(d_rows + at[i] * d + c, load(d_rows + at[i] * d + c) + sum);
    }
  }
}

struct TopkOverlapTerm {
  const int32_t *a, *b;
  int64_t k, m;

  __device__ double operator()(int64_t t) const {
    int chosen = 0, common = 0;
    for (int64_t i = t * k + lane_index(); i < (t + 1) * k; i += kWarp) {
      if (a[i] < 0) continue;
      bool found = false;
      for (int64_t j = t * m; j < (t + 1) * m; ++j) found |= b[j] == a[i];
      ++chosen;
      common += found;
    }
    chosen = warp_sum(chosen);
    common = warp_sum(common);
    return lane_index() > 0 || chosen == 0 ? 0.0 : static_cast<double>(common) / static_cast<double>(chosen);
  }
};

// ---- launchers -----------------------------------------------------------------------------------------------------

static dim3 warps_for(int64_t rows) {
  return blocks_for(rows, kThreads / kWarp);
}

void choose_all(Context& ctx, Tensor indices) {
  launch(ctx, choose_all_kernel, blocks_for(indices.size(), kThreads), kThreads, 0, indices.as<int32_t>(),
         indices.size(), indices.dim(1));
}

void response_forward(Context& ctx, Tensor scores, ConstTensor rows, Response response) {
  const int64_t count = rows.dim(0), d = rows.dim(1);
  for_type(rows.dtype, [&]<class T>(T) {
    const T* in = rows.as<T>();
    for_width(
        d,
        [&]<int N>(std::integral_constant<int, N>) {
          launch(ctx, response_forward_kernel<T, N>, warps_for(count), kThreads, 0, scores.as<float>(), in, count, d,
                 response);
        },
        in);
  });
}

void response_backward(Context& ctx, Tensor d_rows, ConstTensor d_scores, ConstTensor scores, ConstTensor rows,
                       Response response) {
  const int64_t count = rows.dim(0), d = rows.dim(1);
  for_type(rows.dtype, [&]<class T>(T) {
    const T* in = rows.as<T>();
    T* out = d_rows.as<T>();
    for_width(
        d,
        [&]<int N>(std::integral_constant<int, N>) {
          launch(ctx, response_backward_kernel<T, N>, warps_for(count), kThreads, 0, out, d_scores.as<float>(),
                 scores.as<float>(), in, count, d, response);
        },
        in, out);
  });
}

void share_weights_forward(Context& ctx, Tensor weights, ConstTensor scores, ConstTensor indices) {
  const int64_t tokens = scores.dim(0);
  launch(ctx, share_weights_forward_kernel, warps_for(tokens), kThreads, 0, weights.as<float>(), scores.as<float>(),
         indices.as<int32_t>(), tokens, scores.dim(1), indices.dim(1));
}

void share_weights_backward(Context& ctx, Tensor d_scores, ConstTensor d_weights, ConstTensor scores,
                            ConstTensor weights, ConstTensor indices) {
  const int64_t tokens = scores.dim(0);
  launch(ctx, share_weights_backward_kernel, warps_for(tokens), kThreads, 0, d_scores.as<float>(),
         d_weights.as<float>(), scores.as<float>(), weights.as<float>(), indices.as<int32_t>(), tokens, scores.dim(1),
         indices.dim(1));
}

void spread_chosen(Context& ctx, Tensor all, ConstTensor values, ConstTensor indices) {
  const int64_t tokens = all.dim(0);
  launch(ctx, spread_chosen_kernel, warps_for(tokens), kThreads, 0, all.as<float>(), values.as<float>(),
         indices.as<int32_t>(), tokens, all.dim(1), indices.dim(1));
}

void gather_chosen(Context& ctx, Tensor values, ConstTensor all, ConstTensor indices) {
  const int64_t slots = indices.size();
  launch(ctx, gather_chosen_kernel, blocks_for(slots, kThreads), kThreads, 0, values.as<float>(), all.as<float>(),
         indices.as<int32_t>(), slots, all.dim(1), indices.dim(1));
}

void distillation_sum(Context& ctx, Tensor sum, ConstTensor p, ConstTensor q, ConstTensor indices, double chosen_weight,
                      ConstTensor targets) {
  sum_over_tokens(ctx, sum, targets,
                  DistillationTerm{.p = p.as<float>(),
                                   .q = q.as<float>(),
                                   .indices = indices.as<int32_t>(),
                                   .experts = p.dim(1),
                                   .k = indices.dim(1),
                                   .chosen_weight = chosen_weight});
}

void distillation_backward(Context& ctx, Tensor d_logits, Tensor d_q, ConstTensor p, ConstTensor q, ConstTensor indices,
                           double chosen_weight, double factor, ConstTensor targets) {
  const int64_t tokens = p.dim(0), experts = p.dim(1), k = indices.dim(1);
  launch(ctx, distillation_backward_kernel, warps_for(tokens), kThreads, 0, d_logits.as<float>(),
         d_q ? d_q.as<float>() : nullptr, p.as<float>(), q.as<float>(), indices.as<int32_t>(), targets.as<int32_t>(),
         tokens, experts, k, static_cast<float>(2 * factor / static_cast<double>(experts)),
         static_cast<float>(2 * factor * chosen_weight / static_cast<double>(k)));
}

void output_similarity_sum(Context& ctx, Tensor sum, ConstTensor rows, ConstTensor position, ConstTensor targets) {
  const int64_t d = rows.dim(1), k = position.dim(1);
  for_type(rows.dtype, [&]<class T>(T) {
    const T* in = rows.as<T>();
    for_width(
        d,
        [&]<int N>(std::integral_constant<int, N>) {
          sum_over_tokens(ctx, sum, targets, OutputSimilarityTerm<T, N>{in, position.as<int32_t>(), d, k});
        },
        in);
  });
}

void output_similarity_backward(Context& ctx, Tensor d_rows, ConstTensor rows, ConstTensor position, double factor,
                                ConstTensor targets) {
  const int64_t tokens = position.dim(0), d = rows.dim(1), k = position.dim(1);
  constexpr int kWarps = 4;
  for_type(rows.dtype, [&]<class T>(T) {
    launch(ctx, output_similarity_backward_kernel<T>, blocks_for(tokens, kWarps), kWarps * kWarp,
           static_cast<size_t>(kWarps * 2 * k) * sizeof(float), d_rows.as<T>(), rows.as<T>(), position.as<int32_t>(),
           targets.as<int32_t>(), tokens, d, k, static_cast<float>(2 * factor / static_cast<double>(k * k)));
  });
}

void topk_overlap_sum(Context& ctx, Tensor sum, ConstTensor a, ConstTensor b, ConstTensor targets) {
  sum_over_tokens(ctx, sum, targets, TopkOverlapTerm{a.as<int32_t>(), b.as<int32_t>(), a.dim(1), b.dim(1)});
}

}  // namespace moe::cuda
