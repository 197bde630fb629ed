// Attention with a key-value cache (core/ops/cached_attention.h).
#include <algorithm>
#include <cmath>

#include "core/ops/kernels/attention_kernels.h"
#include "core/ops/kernels/attention_rows.h"
#include "core/ops/kernels/gemm/gemm_kernels.h"
#include "core/ops/kernels/workspace.h"

namespace moe::cpu::inline MOE_LEVEL {

// Queries of a head that are computed together, and the keys whose weighted values are summed in registers: those of
// attention.cpp, since the second determines the order of summation.
static constexpr int64_t kQueries = 96, kKeys = 240;

// Queries of one key/value head: rows of one query head for successive tokens, or of a group of heads for one token.
template <class T>
struct QueryRows {
  const T* q;
  int64_t ld, count;
  T* out;
  int64_t out_ld;
  int64_t before;   // positions that the first query attends to besides its own
  int64_t advance;  // further positions for each next row
  int64_t visible(int64_t row) const { return before + row * advance + 1; }
};

template <class T>
static void attend(const QueryRows<T>& rows, const T* keys, const T* values, int64_t ld, int64_t d) {
  const int64_t longest = rows.visible(rows.count - 1), scores_ld = round_up(longest, 64) + 16;
  using Memory = Workspace<QueryRows<T>>;
  T* const scores = Memory(Memory::template room<T>(rows.count * scores_ld)).template take<T>(rows.count * scores_ld);
  gemm_serial<T>({.a = rows.q,
                  .lda = rows.ld,
                  .transpose_a = Transpose::no,
                  .b = keys,
                  .ldb = ld,
                  .transpose_b = Transpose::yes,
                  .c = scores,
                  .ldc = scores_ld,
                  .m = rows.count,
                  .n = longest,
                  .k = d,
                  .alpha = T(1) / std::sqrt(static_cast<T>(d))});
  T inverse[kQueries];
  for (int64_t i = 0; i < rows.count; ++i) {
    inverse[i] = T(1) / exponentials(scores + i * scores_ld, rows.visible(i), longest).first;
  }
  for (int64_t key = 0; key < longest; key += kKeys) {
    gemm_serial<T>({.a = scores + key,
                    .lda = scores_ld,
                    .transpose_a = Transpose::no,
                    .b = values + key * ld,
                    .ldb = ld,
                    .transpose_b = Transpose::no,
                    .c = rows.out,
                    .ldc = rows.out_ld,
                    .m = rows.count,
                    .n = d,
                    .k = std::min(kKeys, longest - key),
                    .accumulate = key > 0});
  }
  for (int64_t i = 0; i < rows.count; ++i) {
#pragma omp simd
    for (int64_t j = 0; j < d; ++j) rows.out[i * rows.out_ld + j] *= inverse[i];
  }
}

template <class T>
static void store_keys(const CachedTokens<T>& x, int64_t sequence, int64_t kv) {
  const AttentionLayout& layout = x.layout;
  const int64_t d = layout.d_head, width = layout.width(), cached = layout.memory_width();
  for (int64_t i = 0; i < layout.time; ++i) {
    const T* const token = x.qkv + (sequence * layout.time + i) * width;
    T* const place = x.row(sequence) + (x.starts[sequence] + i) * cached;
    std::copy_n(token + layout.key_column() + kv * d, d, place + kv * d);
    std::copy_n(token + layout.value_column() + kv * d, d, place + (layout.kv_heads + kv) * d);
  }
}

// One task is a key/value head of a sequence, so the cache has one writer for each place.
template <class T>
void cached_attention(T* out, const CachedTokens<T>& x, int64_t batch) {
  const AttentionLayout& layout = x.layout;
  const int64_t d = layout.d_head, heads = layout.heads, group = heads / layout.kv_heads, width = layout.width();
#pragma omp parallel for collapse(2) schedule(dynamic, 1)
  for (int64_t s = 0; s < batch; ++s) {
    for (int64_t kv = 0; kv < layout.kv_heads; ++kv) {
      store_keys(x, s, kv);
      const T *const keys = x.row(s) + kv * d, *const values = keys + layout.kv_heads * d;
      const int64_t first = s * layout.time, ld = layout.memory_width();
      if (layout.time == 1) {
        for (int64_t h = kv * group; h < (kv + 1) * group; h += kQueries) {
          attend<T>({.q = x.qkv + first * width + h * d,
                     .ld = d,
                     .count = std::min(kQueries, (kv + 1) * group - h),
                     .out = out + (first * heads + h) * d,
                     .out_ld = d,
                     .before = x.starts[s],
                     .advance = 0},
                    keys, values, ld, d);
        }
        continue;
      }
      for (int64_t h = kv * group; h < (kv + 1) * group; ++h) {
        for (int64_t i = 0; i < layout.time; i += kQueries) {
          attend<T>({.q = x.qkv + (first + i) * width + h * d,
                     .ld = width,
                     .count = std::min(kQueries, layout.time - i),
                     .out = out + ((first + i) * heads + h) * d,
                     .out_ld = heads * d,
                     .before = x.starts[s] + i,
                     .advance = 1},
                    keys, values, ld, d);
        }
      }
    }
  }
}

template void cached_attention(float*, const CachedTokens<float>&, int64_t);
template void cached_attention(double*, const CachedTokens<double>&, int64_t);

}  // namespace moe::cpu::inline MOE_LEVEL
