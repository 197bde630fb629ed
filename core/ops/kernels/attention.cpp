// Softmax attention in tiles (core/ops/attention.h), on the micro-kernel's own panels.
#include <omp.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <initializer_list>
#include <limits>
#include <utility>

#include "core/base/integer.h"
#include "core/ops/kernels/attention_kernels.h"
#include "core/ops/kernels/attention_rows.h"
#include "core/ops/kernels/drop_factors.h"
#include "core/ops/kernels/gemm/pack.h"
#include "core/ops/kernels/gemm/panels.h"
#include "core/ops/kernels/vector_math.h"
#include "core/ops/kernels/workspace.h"

namespace moe::cpu::inline MOE_LEVEL {

// A tile of queries is processed with all keys that it attends to. Keys and values are packed once per head. Products
// are cut into the micro-kernel's panels, so that causal attention computes little more than half of them.
static constexpr int64_t kQueries = 96;
// Number of keys that are summed in registers at a time; a whole number of panels for every tile except the one with 14
// rows.
static constexpr int64_t kKeys = 240;

// A piece's elements, with those that packing may write past its end.
static constexpr int64_t padded(int64_t count) {
  return count + kPackSlack;
}

// The sizes of the pieces, which determine the memory that a thread needs.
template <class T>
struct Sizes {
  explicit Sizes(const AttentionLayout& layout)
      : d(layout.d_head),
        columns(round_up(d, kTileColumns<T>)),
        // Not a power of two, because rows of scores would then share lines of the L1 cache.
        scores_ld(round_up(layout.time, kTileColumns<T>) + kTileColumns<T>),
        keys_across(round_up(layout.time, kTileColumns<T>) * d),
        keys_down(round_up(layout.time, kTileRows) * d),
        values(columns * layout.time) {}

  int64_t forward_bytes() const { return total({keys_across, values, kQueryRows * d, kQueryRows * scores_ld}); }
  int64_t backward_bytes() const {
    return total({keys_down, keys_down, values, kQueryColumns * d, kQueryColumns * d, columns * kQueries,
                  columns * kQueries, kTileRows * kQueryColumns, kTileRows * kQueryColumns, kKeyRows * kQueryColumns,
                  kQueryRows * kKeyRows, kQueryColumns, kQueryColumns});
  }

  static constexpr int64_t kQueryRows = round_up(kQueries, kTileRows);
  static constexpr int64_t kQueryColumns = round_up(kQueries, kTileColumns<T>);
  static constexpr int64_t kKeyRows = round_up(kKeys, kTileRows);
  int64_t d, columns;
  int64_t scores_ld;
  int64_t keys_across, keys_down, values;

 private:
  static int64_t total(std::initializer_list<int64_t> counts) {
    int64_t bytes = 0;
    for (const int64_t count : counts) bytes += Workspace<T>::template room<T>(padded(count));
    return bytes;
  }
};

// Multiplies one panel of A by packed B (k, columns), whose panels are panel_k long, over k in [begin, end), kKeys at a
// time.
template <class T>
static void multiply_strip(const BlockA<T>& a, int64_t rows, const T* b, int64_t panel_k, int64_t columns,
                           int64_t begin, int64_t end, Output<T> out) {
  for (int64_t p = begin; p < end; p += kKeys) {
    const int64_t depth = std::min(kKeys, end - p);
    for (int64_t column = 0; column < columns; column += kTileColumns<T>) {
      multiply_panels(a.from(p), rows, b + column * panel_k + p * kTileColumns<T>,
                      std::min<int64_t>(kTileColumns<T>, columns - column), depth, out.at(0, column));
    }
    out.accumulate = true;
  }
}

// The queries [begin, end) of a head; pointers are to the first token of the sequence, which has `length`.
template <class T>
static void forward_of_head(T* out, T* logsumexp, const T* q, const T* k, const T* v, int64_t begin, int64_t end,
                            const AttentionLayout& layout, int64_t length, const SequenceDocuments& documents,
                            const HeadMask& mask) {
  constexpr int64_t kColumns = kTileColumns<T>;
  const Sizes<T> sizes(layout);
  const int64_t d = layout.d_head, width = layout.width(), ld = sizes.scores_ld, out_ld = layout.heads * d;
  const T factor = T(1) / std::sqrt(static_cast<T>(d));
  Workspace<T> workspace(sizes.forward_bytes());
  const auto take = [&](int64_t count) { return workspace.template take<T>(padded(count)); };
  T* const keys = take(sizes.keys_across);  // (d, keys)
  T* const values = take(sizes.values);     // (keys, d)
  T* const queries = take(Sizes<T>::kQueryRows * d);
  T* const scores = take(Sizes<T>::kQueryRows * ld);
  const int64_t num_keys = layout.visible(end - 1, length);
  pack_along<kTileColumns<T>>(k, width, num_keys, d, keys);
  pack_across<kTileColumns<T>>(v, width, d, num_keys, values);

  for (int64_t first = begin; first < end; first += kQueries) {
    const int64_t num_queries = std::min(kQueries, end - first);
    pack_along<kTileRows>(q + first * width, width, num_queries, d, queries);
    for (int64_t column = documents.first_key(first) / kColumns * kColumns;
         column < layout.visible(first + num_queries - 1, length); column += kColumns) {
      // Queries that attend to none of these keys.
      const int64_t unseeing = layout.causal ? std::max<int64_t>(0, column - first) : 0;
      for (int64_t row = unseeing / kTileRows * kTileRows; row < num_queries; row += kTileRows) {
        if (documents.first_key(first + row) >= column + kColumns) break;  // so are those of all later queries
        multiply_panels<T>({queries + row * d, 0, Rows::packed}, std::min<int64_t>(kTileRows, num_queries - row),
                           keys + column * d, kColumns, d, {scores + row * ld + column, ld, factor});
      }
    }
    for (int64_t row = 0; row < num_queries; row += kTileRows) {
      const int64_t num_rows = std::min<int64_t>(kTileRows, num_queries - row);
      // Keys that the last row attends to, which are the most of the tile.
      const int64_t visible = layout.visible(first + row + num_rows - 1, length);
      const int64_t from = documents.first_key(first + row);
      T inverse[kTileRows];
      for (int64_t i = 0; i < num_rows; ++i) {
        const int64_t own = documents.first_key(first + row + i);
        T* const row_scores = scores + (row + i) * ld;
        const auto [sum, largest] =
            exponentials(row_scores + own, layout.visible(first + row + i, length) - own, visible - own);
        std::fill(row_scores + from, row_scores + own, T(0));
        logsumexp[(first + row + i) * layout.heads] = largest + std::log(sum);
        inverse[i] = T(1) / sum;
        if (mask.mask) mask.apply(row_scores, first + row + i, own, layout.visible(first + row + i, length));
      }
      T* const rows_out = out + (first + row) * out_ld;
      multiply_strip<T>({scores + row * ld, ld, Rows::in_place}, num_rows, values, num_keys, d, from, visible,
                        {rows_out, out_ld});
      for (int64_t i = 0; i < num_rows; ++i) {
#pragma omp simd
        for (int64_t j = 0; j < d; ++j) rows_out[i * out_ld + j] *= inverse[i];
      }
    }
  }
}

template <class T>
void attention_forward(T* out, T* logsumexp, const T* qkv, int64_t batch, const AttentionLayout& layout,
                       const AttentionMask& mask) {
  const int64_t time = layout.time, d = layout.d_head, heads = layout.heads;
  // If there are few heads for many threads, heads are cut into parts, each of which packs the keys again.
  const int64_t tiles = divide_up(time, kQueries);
  const int64_t parts = std::min(tiles, (4 * omp_get_max_threads() - 1) / std::max<int64_t>(1, batch * heads) + 1);
  const int64_t part = divide_up(tiles, parts) * kQueries;
  // Also allocates what backward needs, on every thread, because any thread may get the work.
  const Sizes<T> sizes(layout);
  const int64_t bytes = std::max(sizes.forward_bytes(), sizes.backward_bytes());
#pragma omp parallel
  Workspace<T>{bytes};
#pragma omp parallel for collapse(3) schedule(dynamic, 1)
  for (int64_t reversed = 0; reversed < parts; ++reversed) {  // the longest parts first, for load balance
    for (int64_t b = 0; b < batch; ++b) {
      for (int64_t h = 0; h < heads; ++h) {
        const int64_t begin = (parts - 1 - reversed) * part, end = std::min(time, begin + part);
        if (begin >= end) continue;
        const T* const sequence = qkv + b * time * layout.width();
        const int64_t kv = h / (heads / layout.kv_heads);
        forward_of_head(out + (b * time * heads + h) * d, logsumexp + b * time * heads + h, sequence + h * d,
                        sequence + layout.key_column() + kv * d, sequence + layout.value_column() + kv * d, begin, end,
                        layout, layout.length(b), SequenceDocuments::of(layout, b), {mask, b, h});
      }
    }
  }
}

// Inputs and buffers for the backward pass of one key/value head.
template <class T>
struct Backward {
  const AttentionLayout& layout;
  int64_t length;  // of the sequence
  const SequenceDocuments documents;
  const Sizes<T>& sizes;
  const AttentionMask& mask;
  int64_t sequence;
  const T *keys, *values;      // panels of rows: A (time, d)
  const T* keys_across;        // panels of columns: B (time, d)
  T *d_k, *d_v;                // rows layout.width() apart
  T *queries, *d_outs;         // B (d, queries)
  T *query_rows, *d_out_rows;  // B (queries, d)
  T* probabilities;            // (kTileRows, kQueryColumns): for one panel of keys
  T* factors;                  // likewise: dropout factors
  T* d_scores;                 // (kKeyRows, kQueryColumns): for a block of keys
  T* packed;                   // d_scores, as A (queries, keys)
  T *shift, *dot;              // per query: logsumexp, and d_out . out

  // Processes one query head. Scores are stored with keys as rows, so that nothing has to be transposed for d_k and
  // d_v.
  void add_head(int64_t head, T* d_q, const T* q, const T* out, const T* d_out, const T* logsumexp) const;

 private:
  void key_panel(int64_t head, int64_t key, int64_t num_keys, int64_t block, int64_t first, int64_t num_queries) const;
  void draw_factors(int64_t head, int64_t key, int64_t num_keys, int64_t first, int64_t num_queries) const;
};

template <class T>
void Backward<T>::draw_factors(int64_t head, int64_t key, int64_t num_keys, int64_t first, int64_t num_queries) const {
  constexpr int64_t kLd = Sizes<T>::kQueryColumns;
  T drawn[kKeys + 8];
  const int64_t quad = mask.quad_of(key), quads = mask.quad_of(key + num_keys - 1) + 1 - quad;
  for (int64_t j = 0; j < num_queries; ++j) {
    drop_factors(drawn, mask.key, mask.element(sequence, head, first + j, quad), quads, mask.threshold,
                 static_cast<T>(mask.keep));
    for (int64_t i = 0; i < num_keys; ++i) factors[i * kLd + j] = drawn[mask.lane_of(key) + i];
  }
}

// Computes probabilities and d_scores of the keys [key, key + num_keys) for the tile of queries from `first` on, and
// adds their contributions to d_k and d_v. d_scores begins at the key `block`.
template <class T>
void Backward<T>::key_panel(int64_t head, int64_t key, int64_t num_keys, int64_t block, int64_t first,
                            int64_t num_queries) const {
  constexpr int64_t kColumns = kTileColumns<T>, kLd = Sizes<T>::kQueryColumns;
  const int64_t d = layout.d_head, width = layout.width();
  const T factor = T(1) / std::sqrt(static_cast<T>(d));
  // Earlier queries attend to none of these keys.
  const int64_t begin = layout.causal ? std::max<int64_t>(0, key - first) / kColumns * kColumns : 0;
  T* const ds = d_scores + (key - block) * kLd;
  // Later queries are of other documents than the last of these keys, which has the last end.
  const int64_t limit = documents.end_query(key + num_keys - 1, first + num_queries) - first;
  if (limit <= begin) {
    for (int64_t i = 0; i < num_keys; ++i) std::fill_n(ds + i * kLd, num_queries, T(0));
    return;
  }
  for (int64_t column = begin; column < limit; column += kColumns) {
    multiply_panels<T>({keys + key * d, 0, Rows::packed}, num_keys, queries + column * d, kColumns, d,
                       {probabilities + column, kLd, factor});
    multiply_panels<T>({values + key * d, 0, Rows::packed}, num_keys, d_outs + column * d, kColumns, d,
                       {ds + column, kLd});
  }
  const int64_t end = round_up(limit, kColumns);
  if (mask) draw_factors(head, key, num_keys, first, num_queries);
  for (int64_t i = 0; i < num_keys; ++i) {
    T *p_row = probabilities + i * kLd, *ds_row = ds + i * kLd;
    if (mask) {  // values use the weights after dropout, the gradient of softmax those before it
      const T* const factor_row = factors + i * kLd;
#pragma omp simd
      for (int64_t j = begin; j < limit; ++j) {
        const T probability = fast_exp(p_row[j] - shift[j]);
        p_row[j] = probability * factor_row[j];
        ds_row[j] = probability * (ds_row[j] * factor_row[j] - dot[j]);
      }
    } else {
#pragma omp simd
      for (int64_t j = begin; j < end; ++j) {
        p_row[j] = fast_exp(p_row[j] - shift[j]);
        ds_row[j] = p_row[j] * (ds_row[j] - dot[j]);
      }
    }
    // Queries before the key do not attend to it.
    const int64_t from = layout.causal ? std::max(begin, key + i - first) : begin;
    std::fill(p_row + begin, p_row + from, T(0));
    std::fill(ds_row, ds_row + from, T(0));
    if (!documents) continue;
    const int64_t to = documents.end_query(key + i, first + num_queries) - first;
    std::fill(p_row + std::clamp(to, begin, limit), p_row + limit, T(0));
    std::fill(ds_row + std::clamp<int64_t>(to, 0, num_queries), ds_row + num_queries, T(0));
  }
  multiply_strip<T>({probabilities, kLd, Rows::in_place}, num_keys, d_out_rows, num_queries, d, begin, limit,
                    {d_v + key * width, width, T(1), true});
  multiply_strip<T>({ds, kLd, Rows::in_place}, num_keys, query_rows, num_queries, d, begin, limit,
                    {d_k + key * width, width, factor, true});
}

template <class T>
void Backward<T>::add_head(int64_t head, T* d_q, const T* q, const T* out, const T* d_out, const T* logsumexp) const {
  constexpr int64_t kLd = Sizes<T>::kQueryColumns;
  const int64_t d = layout.d_head, width = layout.width(), time = layout.time, out_ld = layout.heads * d;
  const T factor = T(1) / std::sqrt(static_cast<T>(d));
  for (int64_t first = 0; first < time; first += kQueries) {
    const int64_t num_queries = std::min(kQueries, time - first), end = layout.visible(first + num_queries - 1, length);
    const T* const d_o = d_out + first * out_ld;
    pack_along<kTileColumns<T>>(q + first * width, width, num_queries, d, queries);
    pack_along<kTileColumns<T>>(d_o, out_ld, num_queries, d, d_outs);
    pack_across<kTileColumns<T>>(q + first * width, width, d, num_queries, query_rows);
    pack_across<kTileColumns<T>>(d_o, out_ld, d, num_queries, d_out_rows);
    std::fill_n(shift, kLd, T(0));
    std::fill_n(dot, kLd, T(0));
    for (int64_t i = 0; i < num_queries; ++i) {
      shift[i] = logsumexp[(first + i) * layout.heads];
      const T* o = out + (first + i) * out_ld;
      T sum = 0;
#pragma omp simd reduction(+ : sum)
      for (int64_t j = 0; j < d; ++j) sum += o[j] * d_o[i * out_ld + j];
      dot[i] = sum;
    }
    const int64_t first_block = documents.first_key(first) / kTileRows * kTileRows;  // where a panel of keys begins
    for (int64_t block = first_block; block < end; block += Sizes<T>::kKeyRows) {
      const int64_t num_keys = std::min(Sizes<T>::kKeyRows, end - block);
      for (int64_t key = block; key < block + num_keys; key += kTileRows) {
        key_panel(head, key, std::min<int64_t>(kTileRows, block + num_keys - key), block, first, num_queries);
      }
      pack_across<kTileRows>(d_scores, kLd, num_queries, num_keys, packed);
      for (int64_t row = 0; row < num_queries; row += kTileRows) {
        const int64_t num_rows = std::min<int64_t>(kTileRows, num_queries - row);
        const int64_t visible = std::min(num_keys, layout.visible(first + row + num_rows - 1, length) - block);
        const Output<T> rows_out{d_q + (first + row) * width, width, factor, block > first_block};
        if (visible <= 0) continue;
        multiply_strip<T>({packed + row * num_keys, 0, Rows::packed}, num_rows, keys_across + block * kTileColumns<T>,
                          time, d, 0, visible, rows_out);
      }
    }
  }
}

// One task processes a key/value head of a sequence with all its query heads, so d_k and d_v have one writer.
template <class T>
void attention_backward(T* d_qkv, const T* d_out, const T* qkv, const T* out, const T* logsumexp, int64_t batch,
                        const AttentionLayout& layout, const AttentionMask& mask) {
  const int64_t time = layout.time, d = layout.d_head, width = layout.width(), heads = layout.heads;
  const int64_t group = heads / layout.kv_heads;
  const Sizes<T> sizes(layout);
#pragma omp parallel for collapse(2) schedule(dynamic, 1)
  for (int64_t b = 0; b < batch; ++b) {
    for (int64_t kv = 0; kv < layout.kv_heads; ++kv) {
      const T* const sequence = qkv + b * time * width;
      T* const d_sequence = d_qkv + b * time * width;
      const T* const k = sequence + layout.key_column() + kv * d;
      const T* const v = sequence + layout.value_column() + kv * d;
      T* const d_k = d_sequence + layout.key_column() + kv * d;
      T* const d_v = d_sequence + layout.value_column() + kv * d;
      for (int64_t t = 0; t < time; ++t) {
        std::fill_n(d_k + t * width, d, T(0));
        std::fill_n(d_v + t * width, d, T(0));
      }
      Workspace<T> workspace(sizes.backward_bytes());
      const auto take = [&](int64_t count) { return workspace.template take<T>(padded(count)); };
      T* const keys = take(sizes.keys_down);
      T* const values = take(sizes.keys_down);
      T* const keys_across = take(sizes.values);
      pack_along<kTileRows>(k, width, time, d, keys);
      pack_along<kTileRows>(v, width, time, d, values);
      pack_across<kTileColumns<T>>(k, width, d, time, keys_across);
      using S = Sizes<T>;
      const Backward<T> work{.layout = layout,
                             .length = layout.length(b),
                             .documents = SequenceDocuments::of(layout, b),
                             .sizes = sizes,
                             .mask = mask,
                             .sequence = b,
                             .keys = keys,
                             .values = values,
                             .keys_across = keys_across,
                             .d_k = d_k,
                             .d_v = d_v,
                             .queries = take(S::kQueryColumns * d),
                             .d_outs = take(S::kQueryColumns * d),
                             .query_rows = take(sizes.columns * kQueries),
                             .d_out_rows = take(sizes.columns * kQueries),
                             .probabilities = take(kTileRows * S::kQueryColumns),
                             .factors = take(kTileRows * S::kQueryColumns),
                             .d_scores = take(S::kKeyRows * S::kQueryColumns),
                             .packed = take(S::kQueryRows * S::kKeyRows),
                             .shift = take(S::kQueryColumns),
                             .dot = take(S::kQueryColumns)};
      for (int64_t h = kv * group; h < (kv + 1) * group; ++h) {
        const int64_t row = (b * time * heads + h) * d;
        work.add_head(h, d_sequence + h * d, sequence + h * d, out + row, d_out + row,
                      logsumexp + b * time * heads + h);
      }
    }
  }
}

template void attention_forward(float*, float*, const float*, int64_t, const AttentionLayout&, const AttentionMask&);
template void attention_forward(double*, double*, const double*, int64_t, const AttentionLayout&, const AttentionMask&);
template void attention_backward(float*, const float*, const float*, const float*, const float*, int64_t,
                                 const AttentionLayout&, const AttentionMask&);
template void attention_backward(double*, const double*, const double*, const double*, const double*, int64_t,
                                 const AttentionLayout&, const AttentionMask&);

}  // namespace moe::cpu::inline MOE_LEVEL
