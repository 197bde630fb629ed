// Softmax attention (core/ops/attention.h) whose products take operands in bf16, as tiles (tile_pack.h). Scores,
// probabilities and their gradients are f32; they are rounded where they are operands.
#pragma once
#include <omp.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/ops/kernels/attention_kernels.h"
#include "core/ops/kernels/attention_rows.h"
#include "core/ops/kernels/tiles/tiled_gemm.h"
#include "core/ops/kernels/workspace.h"

namespace moe::cpu::inline MOE_LEVEL {

// Queries that backward processes at a time: their number is the inner dimension of the products for keys and values.
static constexpr int64_t kTiledQueries = 128;

using TiledWorkspace = Workspace<uint16_t>;

// Sizes in tiles, and of the pieces of memory.
struct TiledSizes {
  explicit TiledSizes(const AttentionLayout& layout)
      : d_steps(divide_up(layout.d_head, kTileDepth)),
        d_columns(round_up(layout.d_head, kPanelExtent)),
        key_panels(divide_up(layout.time, kPanelExtent)),
        keys(key_panels * kPanelExtent),
        scores_ld(keys + kTileExtent) {}  // not a power of two: rows would share lines of the L1 cache

  // Elements of a packed operand.
  static int64_t packed(int64_t extent, int64_t depth) {
    return round_up(extent, kPanelExtent) * round_up(depth, kTileDepth);
  }
  int64_t forward(int64_t d) const {
    using W = TiledWorkspace;
    return W::room<uint16_t>(packed(keys, d)) + W::room<uint16_t>(packed(d, keys)) +
           W::room<uint16_t>(packed(kPanelExtent, d)) + W::room<uint16_t>(packed(kPanelExtent, keys)) +
           W::room<float>(kPanelExtent * scores_ld) + W::room<float>(kPanelExtent * d_columns);
  }
  int64_t backward(int64_t d) const {
    using W = TiledWorkspace;
    return 2 * W::room<uint16_t>(packed(keys, d)) + W::room<uint16_t>(packed(d, keys)) +
           4 * W::room<uint16_t>(packed(kTiledQueries, d_columns)) +
           3 * W::room<uint16_t>(packed(keys, kTiledQueries)) + 2 * W::room<float>(kTiledQueries * scores_ld) +
           W::room<float>(kPanelExtent * d_columns) + 2 * W::room<float>(keys * d_columns) +
           2 * W::room<float>(kTiledQueries) + W::room<float>(keys + 8);
  }

  int64_t d_steps, d_columns, key_panels, keys, scores_ld;
};

// c (32, 32 * column_panels) = [c +] a b for one panel of A: `a` has `steps` steps from its first, `b` panels of
// `b_steps` steps.
template <class Unit>
[[gnu::always_inline]] inline void multiply_panel_row(const uint16_t* a, const uint16_t* b, int64_t steps,
                                                      int64_t b_steps, float* c, int64_t ldc, int64_t column_panels,
                                                      bool load) {
  Prefetcher nothing;
  for (int64_t panel = 0; panel < column_panels; ++panel) {
    multiply_panels<Unit>(a, b + panel * b_steps * 2 * kTileElements, steps, c + panel * kPanelExtent, ldc,
                          kPanelExtent, kPanelExtent, load, nothing);
  }
}

// The queries [begin, end) of a head; pointers are to the first token of the sequence, which has `length`.
template <class Unit>
void tiled_forward_of_head(float* out, float* logsumexp, const float* q, const float* k, const float* v, int64_t begin,
                           int64_t end, const AttentionLayout& layout, int64_t length,
                           const SequenceDocuments& documents, const HeadMask& mask) {
  const TiledSizes sizes(layout);
  const int64_t d = layout.d_head, width = layout.width(), out_ld = layout.heads * d, ld = sizes.scores_ld;
  const float factor = 1.0f / std::sqrt(static_cast<float>(d));
  TiledWorkspace workspace(sizes.forward(d));
  uint16_t* const keys = workspace.take<uint16_t>(TiledSizes::packed(sizes.keys, d));
  uint16_t* const values = workspace.take<uint16_t>(TiledSizes::packed(d, sizes.keys));
  uint16_t* const queries = workspace.take<uint16_t>(TiledSizes::packed(kPanelExtent, d));
  uint16_t* const weights = workspace.take<uint16_t>(TiledSizes::packed(kPanelExtent, sizes.keys));
  float* const scores = workspace.take<float>(kPanelExtent * ld);
  float* const sums = workspace.take<float>(kPanelExtent * sizes.d_columns);
  const int64_t num_keys = layout.visible(end - 1, length), key_steps = divide_up(num_keys, kTileDepth);
  pack_tiles<Unit, TileLayout::b>({k, width, true, num_keys, d}, keys);
  pack_tiles<Unit, TileLayout::b>({v, width, false, d, num_keys}, values);

  for (int64_t first = begin; first < end; first += kPanelExtent) {
    const int64_t rows = std::min(kPanelExtent, end - first);
    const int64_t panels = divide_up(layout.visible(first + rows - 1, length), kPanelExtent);
    pack_tiles<Unit, TileLayout::a>({q + first * width, width, true, rows, d}, queries);
    // Panels of keys before the documents of all these queries.
    const int64_t before = documents.first_key(first) / kPanelExtent, begin_key = before * kPanelExtent;
    multiply_panel_row<Unit>(queries, keys + before * sizes.d_steps * 2 * kTileElements, sizes.d_steps, sizes.d_steps,
                             scores + begin_key, ld, panels - before, false);
    float inverse[kPanelExtent];
    for (int64_t i = 0; i < rows; ++i) {
      float* const row = scores + i * ld;
      const int64_t visible = layout.visible(first + i, length), own = documents.first_key(first + i);
      for (int64_t j = own; j < visible; ++j) row[j] *= factor;
      const auto [sum, largest] = exponentials(row + own, visible - own, panels * kPanelExtent - own);
      std::fill(row + begin_key, row + own, 0.0f);
      logsumexp[(first + i) * layout.heads] = largest + std::log(sum);
      inverse[i] = 1.0f / sum;
      if (mask.mask) mask.apply(row, first + i, own, visible);
    }
    pack_tiles<Unit, TileLayout::a>({scores + begin_key, ld, true, rows, panels * kPanelExtent - begin_key}, weights);
    multiply_panel_row<Unit>(weights, values + before * 2 * kTileElements, panels - before, key_steps, sums,
                             sizes.d_columns, sizes.d_columns / kPanelExtent, false);
    for (int64_t i = 0; i < rows; ++i) {
      float* const to = out + (first + i) * out_ld;
      for (int64_t j = 0; j < d; ++j) to[j] = sums[i * sizes.d_columns + j] * inverse[i];
    }
  }
}

template <class Unit>
void tiled_attention_forward(float* out, float* logsumexp, const float* qkv, int64_t batch,
                             const AttentionLayout& layout, const AttentionMask& mask) {
  const int64_t time = layout.time, d = layout.d_head, heads = layout.heads;
  // If there are few heads for many threads, heads are cut into parts, each of which packs the keys again.
  const int64_t tiles = divide_up(time, kTiledQueries);
  const int64_t parts = std::min(tiles, (4 * omp_get_max_threads() - 1) / std::max<int64_t>(1, batch * heads) + 1);
  const int64_t part = divide_up(tiles, parts) * kTiledQueries;
  const TiledSizes sizes(layout);
  const int64_t bytes = std::max(sizes.forward(d), sizes.backward(d));
#pragma omp parallel
  {
    TiledWorkspace{bytes};  // also what backward needs, on every thread, because any thread may get the work
    const typename Unit::Scope scope;
#pragma omp for collapse(3) schedule(dynamic, 1)
    for (int64_t reversed = 0; reversed < parts; ++reversed) {  // the longest parts first, for load balance
      for (int64_t b = 0; b < batch; ++b) {
        for (int64_t h = 0; h < heads; ++h) {
          const int64_t begin = (parts - 1 - reversed) * part, end = std::min(time, begin + part);
          if (begin >= end) continue;
          const float* const sequence = qkv + b * time * layout.width();
          const int64_t kv = h / (heads / layout.kv_heads);
          tiled_forward_of_head<Unit>(out + (b * time * heads + h) * d, logsumexp + b * time * heads + h,
                                      sequence + h * d, sequence + layout.key_column() + kv * d,
                                      sequence + layout.value_column() + kv * d, begin, end, layout, layout.length(b),
                                      SequenceDocuments::of(layout, b), {mask, b, h});
        }
      }
    }
  }
}

// Inputs and memory for the backward pass of one key/value head.
template <class Unit>
struct TiledBackward {
  const AttentionLayout& layout;
  const TiledSizes& sizes;
  const AttentionMask& mask;
  int64_t sequence, length;
  const SequenceDocuments documents;
  const uint16_t *keys, *values;        // B (d, keys)
  const uint16_t* key_rows;             // B (keys, d)
  uint16_t *queries, *d_outs;           // A (queries, d)
  uint16_t *query_rows, *d_out_rows;    // B (queries, d)
  uint16_t *ds, *ds_across, *p_across;  // A (queries, keys), A (keys, queries) twice
  float *probabilities, *d_scores;      // (queries, scores_ld)
  float* sums;                          // (32, d_columns)
  float *d_k, *d_v;                     // (keys, d_columns): sums over queries, d_k without the scores' factor
  float *shift, *dot;                   // per query: logsumexp, and d_out . out
  float* factors;                       // dropout factors of one query

  // One query head.
  void add_head(int64_t head, float* d_q, const float* q, const float* out, const float* d_out,
                const float* logsumexp) const;

 private:
  void probabilities_of(int64_t head, int64_t query, int64_t row, int64_t begin, int64_t seen, int64_t end) const;
};

// Row `row` of the tile: scores -> probabilities, and gradients of weights -> gradients of scores. Keys from `begin` on
// before the query's document, and from `seen` to `end`, are not attended to.
template <class Unit>
void TiledBackward<Unit>::probabilities_of(int64_t head, int64_t query, int64_t row, int64_t begin, int64_t seen,
                                           int64_t end) const {
  const int64_t own = documents.first_key(query);
  const float factor = 1.0f / std::sqrt(static_cast<float>(layout.d_head)), from = shift[row], delta = dot[row];
  float *const p = probabilities + row * sizes.scores_ld, *const s = d_scores + row * sizes.scores_ld;
  if (mask) {
    drop_factors(factors, mask.key, mask.element(sequence, head, query, 0), divide_up(seen, int64_t{4}), mask.threshold,
                 mask.keep);
#pragma omp simd
    for (int64_t j = own; j < seen; ++j) {
      const float weight = fast_exp(p[j] * factor - from);
      s[j] = weight * (s[j] * factors[j] - delta);
      p[j] = weight * factors[j];
    }
  } else {
#pragma omp simd
    for (int64_t j = own; j < seen; ++j) {
      p[j] = fast_exp(p[j] * factor - from);
      s[j] = p[j] * (s[j] - delta);
    }
  }
  for (float* const values_of_row : {p, s}) {
    std::fill(values_of_row + begin, values_of_row + own, 0.0f);
    std::memset(values_of_row + seen, 0, static_cast<size_t>(end - seen) * sizeof(float));
  }
}

template <class Unit>
void TiledBackward<Unit>::add_head(int64_t head, float* d_q, const float* q, const float* out, const float* d_out,
                                   const float* logsumexp) const {
  const int64_t d = layout.d_head, width = layout.width(), time = layout.time, out_ld = layout.heads * d;
  const int64_t ld = sizes.scores_ld, d_panels = sizes.d_columns / kPanelExtent;
  const float factor = 1.0f / std::sqrt(static_cast<float>(d));
  for (int64_t first = 0; first < time; first += kTiledQueries) {
    const int64_t count = std::min(kTiledQueries, time - first), query_steps = divide_up(count, kTileDepth);
    const int64_t all = divide_up(layout.visible(first + count - 1, length), kPanelExtent) * kPanelExtent;
    // Panels of keys before the documents of all these queries.
    const int64_t before = documents.first_key(first) / kPanelExtent, begin_key = before * kPanelExtent;
    const float *const q_tile = q + first * width, *const d_out_tile = d_out + first * out_ld;
    pack_tiles<Unit, TileLayout::a>({q_tile, width, true, count, d}, queries);
    pack_tiles<Unit, TileLayout::a>({d_out_tile, out_ld, true, count, d}, d_outs);
    pack_tiles<Unit, TileLayout::b>({q_tile, width, false, d, count}, query_rows);
    pack_tiles<Unit, TileLayout::b>({d_out_tile, out_ld, false, d, count}, d_out_rows);
    for (int64_t i = 0; i < count; ++i) {
      const float *const o = out + (first + i) * out_ld, *const d_o = d_out_tile + i * out_ld;
      float sum = 0;
#pragma omp simd reduction(+ : sum)
      for (int64_t j = 0; j < d; ++j) sum += o[j] * d_o[j];
      dot[i] = sum;
      shift[i] = logsumexp[(first + i) * layout.heads];
    }
    for (int64_t row = 0; row < count; row += kPanelExtent) {
      const int64_t rows = std::min(kPanelExtent, count - row), panel = row * sizes.d_steps * kTileDepth;
      const int64_t panels = divide_up(layout.visible(first + row + rows - 1, length), kPanelExtent) - before;
      const int64_t key_panel = before * sizes.d_steps * 2 * kTileElements, place = row * ld + begin_key;
      multiply_panel_row<Unit>(queries + panel, keys + key_panel, sizes.d_steps, sizes.d_steps, probabilities + place,
                               ld, panels, false);
      multiply_panel_row<Unit>(d_outs + panel, values + key_panel, sizes.d_steps, sizes.d_steps, d_scores + place, ld,
                               panels, false);
      for (int64_t i = row; i < row + rows; ++i) {
        probabilities_of(head, first + i, i, begin_key, layout.visible(first + i, length), all);
      }
    }
    const TileSource scores{d_scores + begin_key, ld, true, count, all - begin_key};
    pack_tiles<Unit, TileLayout::a>(scores, ds);
    for (int64_t row = 0; row < count; row += kPanelExtent) {
      const int64_t rows = std::min(kPanelExtent, count - row);
      const int64_t steps = divide_up(layout.visible(first + row + rows - 1, length), kTileDepth) - before;
      multiply_panel_row<Unit>(ds + row * (all - begin_key), key_rows + before * 2 * kTileElements, steps,
                               sizes.key_panels, sums, sizes.d_columns, d_panels, false);
      for (int64_t i = 0; i < rows; ++i) {
        float* const to = d_q + (first + row + i) * width;
        for (int64_t j = 0; j < d; ++j) to[j] = factor * sums[i * sizes.d_columns + j];
      }
    }
    pack_tiles<Unit, TileLayout::a>({d_scores + begin_key, ld, false, all - begin_key, count}, ds_across);
    pack_tiles<Unit, TileLayout::a>({probabilities + begin_key, ld, false, all - begin_key, count}, p_across);
    for (int64_t key = begin_key; key < all; key += kPanelExtent) {
      // Earlier queries attend to none of these keys: their products are zero.
      const int64_t skipped = layout.causal ? std::max<int64_t>(0, key - first) / kTileDepth : 0;
      // Later queries are of other documents than the last of these keys.
      const int64_t last = std::min(key + kPanelExtent, time) - 1;
      const int64_t steps = divide_up(documents.end_query(last, first + count) - first, kTileDepth) - skipped;
      if (steps <= 0) continue;
      const int64_t tile = skipped * 2 * kTileElements, panel = (key - begin_key) * query_steps * kTileDepth + tile;
      multiply_panel_row<Unit>(ds_across + panel, query_rows + tile, steps, query_steps, d_k + key * sizes.d_columns,
                               sizes.d_columns, d_panels, true);
      multiply_panel_row<Unit>(p_across + panel, d_out_rows + tile, steps, query_steps, d_v + key * sizes.d_columns,
                               sizes.d_columns, d_panels, true);
    }
  }
}

// One task processes a key/value head of a sequence with all its query heads, so d_k and d_v have one writer.
template <class Unit>
void tiled_attention_backward(float* d_qkv, const float* d_out, const float* qkv, const float* out,
                              const float* logsumexp, int64_t batch, const AttentionLayout& layout,
                              const AttentionMask& mask) {
  const int64_t time = layout.time, d = layout.d_head, width = layout.width(), heads = layout.heads;
  const int64_t group = heads / layout.kv_heads;
  const TiledSizes sizes(layout);
  const float factor = 1.0f / std::sqrt(static_cast<float>(d));
#pragma omp parallel
  {
    const typename Unit::Scope scope;
#pragma omp for collapse(2) schedule(dynamic, 1)
    for (int64_t b = 0; b < batch; ++b) {
      for (int64_t kv = 0; kv < layout.kv_heads; ++kv) {
        const float* const sequence = qkv + b * time * width;
        float* const d_sequence = d_qkv + b * time * width;
        const float* const k = sequence + layout.key_column() + kv * d;
        const float* const v = sequence + layout.value_column() + kv * d;
        TiledWorkspace workspace(sizes.backward(d));
        const auto take = [&](int64_t extent, int64_t depth) {
          return workspace.take<uint16_t>(TiledSizes::packed(extent, depth));
        };
        uint16_t *const keys = take(sizes.keys, d), *const values = take(sizes.keys, d);
        uint16_t* const key_rows = take(d, sizes.keys);
        pack_tiles<Unit, TileLayout::b>({k, width, true, time, d}, keys);
        pack_tiles<Unit, TileLayout::b>({v, width, true, time, d}, values);
        pack_tiles<Unit, TileLayout::b>({k, width, false, d, time}, key_rows);
        const TiledBackward<Unit> work{.layout = layout,
                                       .sizes = sizes,
                                       .mask = mask,
                                       .sequence = b,
                                       .length = layout.length(b),
                                       .documents = SequenceDocuments::of(layout, b),
                                       .keys = keys,
                                       .values = values,
                                       .key_rows = key_rows,
                                       .queries = take(kTiledQueries, sizes.d_columns),
                                       .d_outs = take(kTiledQueries, sizes.d_columns),
                                       .query_rows = take(kTiledQueries, sizes.d_columns),
                                       .d_out_rows = take(kTiledQueries, sizes.d_columns),
                                       .ds = take(sizes.keys, kTiledQueries),
                                       .ds_across = take(sizes.keys, kTiledQueries),
                                       .p_across = take(sizes.keys, kTiledQueries),
                                       .probabilities = workspace.take<float>(kTiledQueries * sizes.scores_ld),
                                       .d_scores = workspace.take<float>(kTiledQueries * sizes.scores_ld),
                                       .sums = workspace.take<float>(kPanelExtent * sizes.d_columns),
                                       .d_k = workspace.take<float>(sizes.keys * sizes.d_columns),
                                       .d_v = workspace.take<float>(sizes.keys * sizes.d_columns),
                                       .shift = workspace.take<float>(kTiledQueries),
                                       .dot = workspace.take<float>(kTiledQueries),
                                       .factors = workspace.take<float>(sizes.keys + 8)};
        const auto bytes = static_cast<size_t>(sizes.keys * sizes.d_columns) * sizeof(float);
        std::memset(work.d_k, 0, bytes);
        std::memset(work.d_v, 0, bytes);
        for (int64_t h = kv * group; h < (kv + 1) * group; ++h) {
          const int64_t row = (b * time * heads + h) * d;
          work.add_head(h, d_sequence + h * d, sequence + h * d, out + row, d_out + row,
                        logsumexp + b * time * heads + h);
        }
        float* const d_k = d_sequence + layout.key_column() + kv * d;
        float* const d_v = d_sequence + layout.value_column() + kv * d;
        for (int64_t t = 0; t < time; ++t) {
          for (int64_t j = 0; j < d; ++j) {
            d_k[t * width + j] = factor * work.d_k[t * sizes.d_columns + j];
            d_v[t * width + j] = work.d_v[t * sizes.d_columns + j];
          }
        }
      }
    }
  }
}

}  // namespace moe::cpu::inline MOE_LEVEL
