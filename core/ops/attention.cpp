#include "core/ops/attention.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "core/ops/dispatch.h"
#include "core/ops/gemm/gemm.h"
#include "core/ops/vector_math.h"

namespace moe {
namespace cpu {

using enum Transpose;

static constexpr int64_t kQueries = 64;  // queries per tile; their scores against all visible keys fit the L2 cache

template <class T>
static T* workspace(int64_t count) {
  thread_local std::vector<T> memory;
  prepare_gemm_thread<T>();
  if (static_cast<int64_t>(memory.size()) < count) memory.resize(static_cast<size_t>(count));
  return memory.data();
}

template <class T>
static void forward(T* out, T* logsumexp, const T* qkv, int64_t batch, const AttentionLayout& layout) {
  const int64_t time = layout.time, d = layout.d_head, width = layout.width(), heads = layout.heads;
  const int64_t tiles = (time + kQueries - 1) / kQueries;
  const T factor = T(1) / std::sqrt(static_cast<T>(d));
#pragma omp parallel
  workspace<T>(2 * kQueries * time);  // what backward needs, on every thread, whichever gets the work
#pragma omp parallel for collapse(3) schedule(dynamic, 1)
  for (int64_t b = 0; b < batch; ++b) {
    for (int64_t h = 0; h < heads; ++h) {
      for (int64_t reversed = 0; reversed < tiles; ++reversed) {  // the longest tile first, for balance
        const int64_t first = (tiles - 1 - reversed) * kQueries, queries = std::min(kQueries, time - first);
        const int64_t keys = first + queries;
        const T* sequence = qkv + b * time * width;
        const T* q = sequence + first * width + h * d;
        const T* k = sequence + layout.key_column() + h / (heads / layout.kv_heads) * d;
        const T* v = sequence + layout.value_column() + h / (heads / layout.kv_heads) * d;
        T* scores = workspace<T>(kQueries * time);
        gemm_serial<T>({q, width, no, k, width, yes, scores, keys, queries, keys, d, factor});
        for (int64_t i = 0; i < queries; ++i) {
          T* row = scores + i * keys;
          const int64_t visible = first + i + 1;
          T largest = row[0];
#pragma omp simd reduction(max : largest)
          for (int64_t j = 0; j < visible; ++j) largest = std::max(largest, row[j]);
          T sum = 0;
#pragma omp simd reduction(+ : sum)
          for (int64_t j = 0; j < visible; ++j) {
            row[j] = fast_exp(row[j] - largest);
            sum += row[j];
          }
          const T inverse = T(1) / sum;
#pragma omp simd
          for (int64_t j = 0; j < visible; ++j) row[j] *= inverse;
          std::fill(row + visible, row + keys, T(0));
          logsumexp[(b * time + first + i) * heads + h] = largest + std::log(sum);
        }
        gemm_serial<T>({scores, keys, no, v, width, no, out + (b * time + first) * heads * d + h * d, heads * d,
                        queries, d, keys});
      }
    }
  }
}

// One task owns a key/value head of a sequence with all its query heads, so d_k and d_v have one writer.
template <class T>
static void backward(T* d_qkv, const T* d_out, const T* qkv, const T* out, const T* logsumexp, int64_t batch,
                     const AttentionLayout& layout) {
  const int64_t time = layout.time, d = layout.d_head, width = layout.width(), heads = layout.heads;
  const int64_t group = heads / layout.kv_heads;
  const T factor = T(1) / std::sqrt(static_cast<T>(d));
#pragma omp parallel for collapse(2) schedule(dynamic, 1)
  for (int64_t b = 0; b < batch; ++b) {
    for (int64_t kv = 0; kv < layout.kv_heads; ++kv) {
      const T* sequence = qkv + b * time * width;
      T* d_sequence = d_qkv + b * time * width;
      const T* k = sequence + layout.key_column() + kv * d;
      const T* v = sequence + layout.value_column() + kv * d;
      T* d_k = d_sequence + layout.key_column() + kv * d;
      T* d_v = d_sequence + layout.value_column() + kv * d;
      T* probabilities = workspace<T>(2 * kQueries * time);
      T* d_scores = probabilities + kQueries * time;
      for (int64_t t = 0; t < time; ++t) {
        std::fill_n(d_k + t * width, d, T(0));
        std::fill_n(d_v + t * width, d, T(0));
      }
      for (int64_t h = kv * group; h < (kv + 1) * group; ++h) {
        for (int64_t first = 0; first < time; first += kQueries) {
          const int64_t queries = std::min(kQueries, time - first), keys = first + queries, token = b * time + first;
          const T* q = sequence + first * width + h * d;
          const T* o = out + token * heads * d + h * d;
          const T* d_o = d_out + token * heads * d + h * d;
          gemm_serial<T>({q, width, no, k, width, yes, probabilities, keys, queries, keys, d, factor});
          gemm_serial<T>({d_o, heads * d, no, v, width, yes, d_scores, keys, queries, keys, d});
          for (int64_t i = 0; i < queries; ++i) {
            T *p = probabilities + i * keys, *ds = d_scores + i * keys;
            const int64_t visible = first + i + 1;
            const T shift = logsumexp[(token + i) * heads + h];
            T dot = 0;
            for (int64_t j = 0; j < d; ++j) dot += o[i * heads * d + j] * d_o[i * heads * d + j];
#pragma omp simd
            for (int64_t j = 0; j < visible; ++j) {
              p[j] = fast_exp(p[j] - shift);
              ds[j] = p[j] * (ds[j] - dot);
            }
            std::fill(p + visible, p + keys, T(0));
            std::fill(ds + visible, ds + keys, T(0));
          }
          gemm_serial<T>(
              {d_scores, keys, no, k, width, no, d_sequence + first * width + h * d, width, queries, d, keys, factor});
          gemm_serial<T>({d_scores, keys, yes, q, width, no, d_k, width, keys, d, queries, factor, true});
          gemm_serial<T>({probabilities, keys, yes, d_o, heads * d, no, d_v, width, keys, d, queries, T(1), true});
        }
      }
    }
  }
}

}  // namespace cpu

static int64_t check(ConstTensor qkv, ConstTensor out, ConstTensor logsumexp, const AttentionLayout& layout) {
  const int64_t tokens = qkv.dim(0);
  MOE_CHECK(layout.time > 0 && tokens % layout.time == 0, "{} tokens in sequences of {}", tokens, layout.time);
  MOE_CHECK(layout.kv_heads > 0 && layout.heads % layout.kv_heads == 0, "{} heads share {}", layout.heads,
            layout.kv_heads);
  MOE_CHECK_SHAPE(qkv, {tokens, layout.width()});
  MOE_CHECK_SHAPE(out, {tokens, layout.heads * layout.d_head});
  MOE_CHECK_SHAPE(logsumexp, {tokens, layout.heads});
  return tokens / layout.time;
}

void attention_forward(Context& ctx, Tensor out, Tensor logsumexp, ConstTensor qkv, const AttentionLayout& layout) {
  const int64_t batch = check(qkv, out, logsumexp, layout);
  if (on_cuda(ctx)) return cuda::attention_forward(ctx, out, logsumexp, qkv, layout);
  run(ctx, qkv.dtype, [&]<class T>(T) { cpu::forward<T>(out.as<T>(), logsumexp.as<T>(), qkv.as<T>(), batch, layout); });
}

void attention_backward(Context& ctx, Tensor d_qkv, ConstTensor d_out, ConstTensor qkv, ConstTensor out,
                        ConstTensor logsumexp, const AttentionLayout& layout) {
  const int64_t batch = check(qkv, out, logsumexp, layout);
  MOE_CHECK(d_qkv.shape == qkv.shape && d_out.shape == out.shape, "gradients {} and {}", d_qkv.shape.to_string(),
            d_out.shape.to_string());
  if (on_cuda(ctx)) return cuda::attention_backward(ctx, d_qkv, d_out, qkv, out, logsumexp, layout);
  run(ctx, qkv.dtype, [&]<class T>(T) {
    cpu::backward<T>(d_qkv.as<T>(), d_out.as<T>(), qkv.as<T>(), out.as<T>(), logsumexp.as<T>(), batch, layout);
  });
}

}  // namespace moe
