// Attention with a sliding window (core/ops/window_attention.h).
#include <algorithm>
#include <cmath>

#include "core/ops/kernels/attention_kernels.h"
#include "core/ops/kernels/drop_factors.h"
#include "core/ops/kernels/vector_math.h"
#include "core/ops/kernels/workspace.h"

namespace moe::cpu::inline MOE_LEVEL {

// A tile of queries is processed with all keys that any of them attends to: matrix products, with a mask for the other
// keys. Larger tiles compute more masked products, and pack keys and values less often.
template <class T>
static int64_t queries_at_once(const GemmKernel<T>& gemm) {
  constexpr int64_t kDearPacking = 256;
  return gemm.packing_cost < kDearPacking ? 64 : 128;
}

// A thread's buffer, of `count` elements.
template <class T>
static T* workspace(int64_t count) {
  using Memory = Workspace<WindowTensors<T>>;
  return Memory(Memory::template room<T>(count)).template take<T>(count);
}

// Keys or values of one head: positions from 0 on are in the sequence, negative positions in the context memory.
template <class T>
struct HeadRows {
  const T *sequence, *memory;  // position 0, and one past the memory's last position
  int64_t ld, memory_ld;
  // The rows of [begin, end) in one of the two.
  struct Part {
    int64_t begin, count;
    const T* rows;
    int64_t ld;
  };
  Part before(int64_t begin, int64_t end) const {
    const int64_t count = std::max<int64_t>(0, std::min<int64_t>(end, 0) - begin);
    return {begin, count, count > 0 ? memory + begin * memory_ld : nullptr, memory_ld};
  }
  Part inside(int64_t begin, int64_t end) const {
    const int64_t first = std::max<int64_t>(begin, 0);
    return {first, std::max<int64_t>(0, end - first), sequence + first * ld, ld};
  }
};

// One query head of one sequence.
template <class T>
struct Head {
  const GemmKernel<T>& gemm;
  const AttentionLayout& layout;
  const AttentionWindow& window;
  const T* q;
  HeadRows<T> keys, values;
  const T* positions;
  const AttentionMask& mask;
  int64_t sequence, head;

  // Dropout factors on the query's weights at the positions [from, to); written to `memory` (factors_at_most()).
  const T* factors(T* memory, int64_t query, int64_t from, int64_t to) const {
    const int64_t quad = mask.quad_of(from), quads = mask.quad_of(to - 1) + 1 - quad;
    drop_factors(memory, mask.key, mask.element(sequence, head, query, quad), quads, mask.threshold,
                 static_cast<T>(mask.keep));
    return memory + mask.lane_of(from);
  }
  int64_t factors_at_most() const { return window.size + 1 + 8; }

  int64_t keys_at_most() const { return window.size + queries_at_once(gemm); }
  // Size of each part of a workspace.
  int64_t tile() const { return queries_at_once(gemm) * keys_at_most(); }

  // c (queries [first, end) x positions [begin, end)) = rows of a . rows of b
  void products(T* c, const T* a, int64_t lda, const HeadRows<T>& b, int64_t first, int64_t end, int64_t begin) const {
    for (const auto& part : {b.before(begin, end), b.inside(begin, end)}) {
      if (part.count == 0) continue;
      gemm.serial({.a = a,
                   .lda = lda,
                   .transpose_a = Transpose::no,
                   .b = part.rows,
                   .ldb = part.ld,
                   .transpose_b = Transpose::yes,
                   .c = c + part.begin - begin,
                   .ldc = keys_at_most(),
                   .m = end - first,
                   .n = part.count,
                   .k = layout.d_head});
    }
  }

  // Computes the scaled scores of the tile; `by_distance` is a buffer for the scores of the relative positions.
  void scores(T* s, T* by_distance, int64_t first, int64_t end, int64_t begin) const {
    const int64_t d = layout.d_head, width = layout.width(), ld = keys_at_most();
    const T factor = T(1) / std::sqrt(static_cast<T>(d));
    products(s, q + first * width, width, keys, first, end, begin);
    const int64_t distances = std::min(window.size, end - 1 - begin);
    if (positions && distances > 0) {
      gemm.serial({.a = q + first * width,
                   .lda = width,
                   .transpose_a = Transpose::no,
                   .b = positions,
                   .ldb = d,
                   .transpose_b = Transpose::yes,
                   .c = by_distance,
                   .ldc = ld,
                   .m = end - first,
                   .n = distances,
                   .k = d});
    }
    for (int64_t i = first; i < end; ++i) {
      T* const row = s + (i - first) * ld - begin;
      const T* const distance = by_distance + (i - first) * ld - 1;
      const int64_t seen = window.first_seen(i);
      if (positions) {
#pragma omp simd
        for (int64_t j = seen; j < i; ++j) row[j] += distance[i - j];
      }
#pragma omp simd
      for (int64_t j = seen; j < window.end_seen(i); ++j) row[j] *= factor;
    }
  }

  int64_t forward_workspace() const {
    return 2 * tile() + factors_at_most();
  }
  void forward(T* out, T* logsumexp, int64_t first, int64_t end) const {
    const int64_t d = layout.d_head, ld = keys_at_most(), out_ld = layout.heads * d, begin = window.first_seen(first);
    T* const s = workspace<T>(forward_workspace());
    scores(s, s + tile(), first, end, begin);
    for (int64_t i = first; i < end; ++i) {
      T* const row = s + (i - first) * ld;
      const int64_t from = window.first_seen(i) - begin, to = window.end_seen(i) - begin;
      logsumexp[i * layout.heads] = 0;
      std::fill(row, row + std::max(from, int64_t{0}), T(0));
      std::fill(row + std::max(to, from), row + (end - begin), T(0));
      if (to <= from) continue;
      T largest = row[from];
#pragma omp simd reduction(max : largest)
      for (int64_t j = from; j < to; ++j) largest = row[j] > largest ? row[j] : largest;
      T sum = 0;
#pragma omp simd reduction(+ : sum)
      for (int64_t j = from; j < to; ++j) sum += row[j] = fast_exp(row[j] - largest);
      logsumexp[i * layout.heads] = largest + std::log(sum);
      const T inverse = T(1) / sum;
      for (int64_t j = from; j < to; ++j) row[j] *= inverse;
      if (!mask) continue;
      const T* const kept = factors(s + 2 * tile(), i, from + begin, to + begin);
      for (int64_t j = from; j < to; ++j) row[j] *= kept[j - from];
    }
    weighted_sums(out + first * out_ld, out_ld, s, values, T(1), first, end, begin);
  }

  int64_t backward_workspace() const {
    return 3 * tile() + factors_at_most();
  }
  // Overwrites d_q; adds to d_k and d_v (of the sequence) and to d_positions.
  void backward(T* d_q, T* d_k, T* d_v, T* d_positions, const T* d_out, const T* out, const T* logsumexp, int64_t first,
                int64_t end) const {
    const int64_t d = layout.d_head, width = layout.width(), ld = keys_at_most(), out_ld = layout.heads * d;
    const int64_t begin = window.first_seen(first), queries = end - first;
    const T factor = T(1) / std::sqrt(static_cast<T>(d));
    T *const p = workspace<T>(backward_workspace()), *const ds = p + tile(), *const by_distance = ds + tile();
    scores(p, by_distance, first, end, begin);
    products(ds, d_out + first * out_ld, out_ld, values, first, end, begin);
    to_d_scores(p, ds, by_distance, d_out, out, logsumexp, first, end);
    weighted_sums(d_q + first * width, width, ds, keys, factor, first, end, begin);
    const auto inside = keys.inside(begin, end);
    add_transposed(d_k + inside.begin * width, width, ds + inside.begin - begin, inside.count, q + first * width, width,
                   queries, factor);
    add_transposed(d_v + inside.begin * width, width, p + inside.begin - begin, inside.count, d_out + first * out_ld,
                   out_ld, queries, T(1));
    const int64_t distances = std::min(window.size, end - 1 - begin);
    if (!positions || distances <= 0) return;
    gemm.serial({.a = by_distance,
                 .lda = ld,
                 .transpose_a = Transpose::no,
                 .b = positions,
                 .ldb = d,
                 .transpose_b = Transpose::no,
                 .c = d_q + first * width,
                 .ldc = width,
                 .m = queries,
                 .n = d,
                 .k = distances,
                 .alpha = factor,
                 .accumulate = true});
    add_transposed(d_positions, d, by_distance, distances, q + first * width, width, queries, factor);
  }

 private:
  // c (queries [first, end) x d_head) = alpha * weights of the positions [begin, end) . rows
  void weighted_sums(T* c, int64_t ldc, const T* weights, const HeadRows<T>& rows, T alpha, int64_t first, int64_t end,
                     int64_t begin) const {
    bool written = false;
    for (const auto& part : {rows.before(begin, end), rows.inside(begin, end)}) {
      if (part.count == 0) continue;
      gemm.serial({.a = weights + part.begin - begin,
                   .lda = keys_at_most(),
                   .transpose_a = Transpose::no,
                   .b = part.rows,
                   .ldb = part.ld,
                   .transpose_b = Transpose::no,
                   .c = c,
                   .ldc = ldc,
                   .m = end - first,
                   .n = layout.d_head,
                   .k = part.count,
                   .alpha = alpha,
                   .accumulate = written});
      written = true;
    }
  }

  // c (count x d_head) += alpha * weights^T . rows, for a tile of weights (queries x count)
  void add_transposed(T* c, int64_t ldc, const T* weights, int64_t count, const T* rows, int64_t ld, int64_t queries,
                      T alpha) const {
    gemm.serial({.a = weights,
                 .lda = keys_at_most(),
                 .transpose_a = Transpose::yes,
                 .b = rows,
                 .ldb = ld,
                 .transpose_b = Transpose::no,
                 .c = c,
                 .ldc = ldc,
                 .m = count,
                 .n = layout.d_head,
                 .k = queries,
                 .alpha = alpha,
                 .accumulate = true});
  }

  // p: S -> P including dropout. ds: dP -> dS = P (dP - delta). by_distance: with relative positions, dS by distance.
  void to_d_scores(T* p, T* ds, T* by_distance, const T* d_out, const T* out, const T* logsumexp, int64_t first,
                   int64_t end) const {
    const int64_t d = layout.d_head, ld = keys_at_most(), out_ld = layout.heads * d;
    const int64_t begin = window.first_seen(first), distances = std::min(window.size, end - 1 - begin);
    for (int64_t i = first; i < end; ++i) {
      T *const p_row = p + (i - first) * ld - begin, *const ds_row = ds + (i - first) * ld - begin;
      const T *const o = out + i * out_ld, *const d_o = d_out + i * out_ld;
      const int64_t from = window.first_seen(i), to = std::max(window.end_seen(i), from);
      T delta = 0;
      for (int64_t c = 0; c < d; ++c) delta += o[c] * d_o[c];
      const T shift = logsumexp[i * layout.heads];
      if (mask && to > from) {
        const T* const kept = factors(by_distance + tile(), i, from, to) - from;
#pragma omp simd
        for (int64_t j = from; j < to; ++j) {
          const T weight = fast_exp(p_row[j] - shift);
          ds_row[j] = weight * (kept[j] * ds_row[j] - delta);
          p_row[j] = kept[j] * weight;
        }
      } else {
#pragma omp simd
        for (int64_t j = from; j < to; ++j) {
          p_row[j] = fast_exp(p_row[j] - shift);
          ds_row[j] = p_row[j] * (ds_row[j] - delta);
        }
      }
      for (T* const row : {p_row, ds_row}) {
        std::fill(row + begin, row + from, T(0));
        std::fill(row + to, row + end, T(0));
      }
      if (!positions) continue;
      T* const distance = by_distance + (i - first) * ld;
      std::fill(distance, distance + distances, T(0));
#pragma omp simd
      for (int64_t j = from; j < i; ++j) distance[i - j - 1] = ds_row[j];
    }
  }
};

// A query head of a sequence.
template <class T>
static Head<T> head_of(const WindowTensors<T>& x, int64_t sequence, int64_t h) {
  const AttentionLayout& layout = x.layout;
  const AttentionWindow& window = x.window;
  const int64_t kv = h / (layout.heads / layout.kv_heads), d = layout.d_head, kept = layout.memory_width();
  const T* const rows = x.qkv + sequence * layout.time * layout.width();
  const T* const before = x.memory ? x.memory + (sequence + 1) * window.size * kept : nullptr;
  const auto at = [&](int64_t column, int64_t memory_column) {
    return HeadRows<T>{rows + column + kv * d, before ? before + memory_column + kv * d : nullptr, layout.width(),
                       kept};
  };
  return {.gemm = x.gemm,
          .layout = layout,
          .window = window,
          .q = rows + h * d,
          .keys = at(layout.key_column(), 0),
          .values = at(layout.value_column(), layout.kv_heads * d),
          .positions = x.positions,
          .mask = x.mask,
          .sequence = sequence,
          .head = h};
}

template <class T>
void window_attention_forward(T* out, T* logsumexp, const WindowTensors<T>& x, int64_t batch) {
  const AttentionLayout& layout = x.layout;
  const int64_t queries = queries_at_once(x.gemm), tiles = (layout.time + queries - 1) / queries;
#pragma omp parallel
  {
    // Also allocates what backward needs, on every thread, because any thread may get the work.
    workspace<T>(head_of(x, 0, 0).backward_workspace());
    x.gemm.prepare_thread();
#pragma omp for collapse(3) schedule(dynamic, 1)
    for (int64_t b = 0; b < batch; ++b) {
      for (int64_t h = 0; h < layout.heads; ++h) {
        for (int64_t tile = 0; tile < tiles; ++tile) {
          const int64_t row = b * layout.time * layout.heads + h, first = tile * queries;
          head_of(x, b, h).forward(out + row * layout.d_head, logsumexp + row, first,
                                   std::min(layout.time, first + queries));
        }
      }
    }
  }
}

// One task processes a key/value head of a sequence with all its query heads, so d_k and d_v have one writer. A part is
// a sequence of tasks with a separate sum of the positions' gradients.
template <class T>
void window_attention_backward(T* d_qkv, T* d_positions, T* partial, int64_t parts, const T* d_out, const T* out,
                               const T* logsumexp, const WindowTensors<T>& x, int64_t batch) {
  const AttentionLayout& layout = x.layout;
  const int64_t d = layout.d_head, width = layout.width(), heads = layout.heads, group = heads / layout.kv_heads;
  const int64_t tasks = batch * layout.kv_heads, positions = x.window.size * d, queries = queries_at_once(x.gemm);
#pragma omp parallel for schedule(dynamic, 1)
  for (int64_t part = 0; part < parts; ++part) {
    T* const own = partial ? partial + part * positions : nullptr;
    if (own) std::fill_n(own, positions, T(0));
    for (int64_t task = part * tasks / parts; task < (part + 1) * tasks / parts; ++task) {
      const int64_t b = task / layout.kv_heads, kv = task % layout.kv_heads;
      T* const d_rows = d_qkv + b * layout.time * width;
      T *const d_k = d_rows + layout.key_column() + kv * d, *const d_v = d_rows + layout.value_column() + kv * d;
      for (int64_t t = 0; t < layout.time; ++t) {
        std::fill_n(d_k + t * width, d, T(0));
        std::fill_n(d_v + t * width, d, T(0));
      }
      for (int64_t h = kv * group; h < (kv + 1) * group; ++h) {
        const int64_t row = b * layout.time * heads + h;
        for (int64_t first = 0; first < layout.time; first += queries) {
          head_of(x, b, h).backward(d_rows + h * d, d_k, d_v, own, d_out + row * d, out + row * d, logsumexp + row,
                                    first, std::min(layout.time, first + queries));
        }
      }
    }
  }
  if (!partial) return;
#pragma omp parallel for schedule(static)
  for (int64_t i = 0; i < positions; ++i) {
    for (int64_t part = 0; part < parts; ++part) d_positions[i] += partial[part * positions + i];
  }
}

template void window_attention_forward(float*, float*, const WindowTensors<float>&, int64_t);
template void window_attention_forward(double*, double*, const WindowTensors<double>&, int64_t);
template void window_attention_backward(float*, float*, float*, int64_t, const float*, const float*, const float*,
                                        const WindowTensors<float>&, int64_t);
template void window_attention_backward(double*, double*, double*, int64_t, const double*, const double*, const double*,
                                        const WindowTensors<double>&, int64_t);

}  // namespace moe::cpu::inline MOE_LEVEL
