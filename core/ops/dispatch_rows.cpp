#include "core/ops/dispatch_rows.h"

#include <algorithm>
#include <vector>

#include "core/base/integer.h"
#include "core/ops/copy_of_token.h"
#include "core/ops/copy_row.h"
#include "core/ops/dispatch.h"

namespace moe {

static void check_same_type(ConstTensor y, ConstTensor x) {
  MOE_CHECK(y.dtype == x.dtype, "on a device {} rows are not copied to {} rows", name_of(x.dtype), name_of(y.dtype));
}

void sort_assignments(Context& ctx, Tensor position, Tensor source, Tensor offsets, ConstTensor indices) {
  const int64_t slots = indices.size(), experts = offsets.dim(0) - 1;
  MOE_CHECK(position.shape == indices.shape && source.size() >= slots,
            "shapes do not fit: position {}, source {}, indices {}", position.shape.to_string(),
            source.shape.to_string(), indices.shape.to_string());
  if (on_cuda(ctx)) return cuda::sort_assignments(ctx, position, source, offsets, indices);
  if (ctx.planning) return;
  const int32_t* expert = indices.as<int32_t>();
  int32_t *to = position.as<int32_t>(), *from = source.as<int32_t>(), *first = offsets.as<int32_t>();
  std::fill_n(first, experts + 1, 0);
  for (int64_t i = 0; i < slots; ++i) {
    if (expert[i] >= 0) ++first[expert[i] + 1];
  }
  for (int64_t e = 0; e < experts; ++e) first[e + 1] += first[e];
  thread_local std::vector<int32_t> next;
  next.assign(first, first + experts);
  for (int64_t i = 0; i < slots; ++i) {
    to[i] = expert[i] < 0 ? -1 : next[as_index(expert[i])]++;
    if (to[i] >= 0) from[to[i]] = static_cast<int32_t>(i);
  }
}

void place_assignments(Context& ctx, Tensor placed, ConstTensor indices, ConstTensor places) {
  MOE_CHECK(placed.shape == indices.shape && places.shape.rank() == 1, "shapes do not fit: placed {}, indices {}",
            placed.shape.to_string(), indices.shape.to_string());
  if (on_cuda(ctx)) return cuda::place_assignments(ctx, placed, indices, places);
  if (ctx.planning) return;
  const int32_t *expert = indices.as<int32_t>(), *place = places.as<int32_t>();
  int32_t* to = placed.as<int32_t>();
  for (int64_t i = 0; i < indices.size(); ++i) to[i] = expert[i] < 0 ? -1 : place[expert[i]];
}

void place_on_copies(Context& ctx, Tensor placed, ConstTensor indices, ConstTensor first, ConstTensor places,
                     int64_t first_token) {
  MOE_CHECK(placed.shape == indices.shape && first.shape.rank() == 1 && places.shape.rank() == 1,
            "shapes do not fit: placed {}, indices {}", placed.shape.to_string(), indices.shape.to_string());
  if (on_cuda(ctx)) return cuda::place_on_copies(ctx, placed, indices, first, places, first_token);
  if (ctx.planning) return;
  const int64_t k = indices.dim(1);
  const int32_t *expert = indices.as<int32_t>(), *begin = first.as<int32_t>(), *place = places.as<int32_t>();
  int32_t* to = placed.as<int32_t>();
  for (int64_t i = 0; i < indices.size(); ++i) {
    const int32_t e = expert[i];
    to[i] = e < 0 ? -1 : place[begin[e] + copy_of_token(first_token + i / k, begin[e + 1] - begin[e])];
  }
}

void choose_hosts(Context& ctx, Tensor chosen, ConstTensor indices, ConstTensor host_of) {
  const int64_t tokens = indices.dim(0), k = indices.dim(1), hosts = chosen.dim(1);
  MOE_CHECK_SHAPE(chosen, {tokens, hosts});
  if (on_cuda(ctx)) return cuda::choose_hosts(ctx, chosen, indices, host_of);
  if (ctx.planning) return;
  const int32_t *expert = indices.as<int32_t>(), *host = host_of.as<int32_t>();
  int32_t* to = chosen.as<int32_t>();
  std::fill_n(to, tokens * hosts, -1);
  for (int64_t i = 0; i < tokens * k; ++i) {
    if (expert[i] >= 0) to[i / k * hosts + host[expert[i]]] = host[expert[i]];
  }
}

void select_on_host(Context& ctx, Tensor rows, ConstTensor values, ConstTensor source, ConstTensor indices,
                    ConstTensor host_of, int64_t hosts) {
  const int64_t count = rows.dim(0), k = indices.dim(1);
  MOE_CHECK_SHAPE(rows, {count, k});
  MOE_CHECK(values.shape == indices.shape && source.size() >= count, "shapes do not fit: values {}, indices {}",
            values.shape.to_string(), indices.shape.to_string());
  if (on_cuda(ctx)) return cuda::select_on_host(ctx, rows, values, source, indices, host_of, hosts);
  if (ctx.planning) return;
  const int32_t *value = values.as<int32_t>(), *slot = source.as<int32_t>(), *expert = indices.as<int32_t>(),
                *host = host_of.as<int32_t>();
  int32_t* to = rows.as<int32_t>();
  for (int64_t i = 0; i < count * k; ++i) {
    const int64_t token = slot[i / k] / hosts, from = token * k + i % k;
    const bool is_there = expert[from] >= 0 && host[expert[from]] == slot[i / k] % hosts;
    to[i] = is_there ? value[from] : -1;
  }
}

void number_assignments(Context& ctx, Tensor numbers, ConstTensor source, ConstTensor indices, int64_t first_token,
                        int64_t experts) {
  const int64_t count = numbers.size(), k = indices.dim(1);
  MOE_CHECK(source.size() >= count, "{} elements in source, fewer than {} rows", source.size(), count);
  if (on_cuda(ctx)) return cuda::number_assignments(ctx, numbers, source, indices, first_token, experts);
  if (ctx.planning) return;
  const int32_t *slot = source.as<int32_t>(), *expert = indices.as<int32_t>();
  int32_t* to = numbers.as<int32_t>();
  for (int64_t r = 0; r < count; ++r) {
    to[r] = static_cast<int32_t>((first_token + slot[r] / k) * experts + expert[slot[r]]);
  }
}

void permute_forward(Context& ctx, Tensor rows, ConstTensor x, ConstTensor source, int64_t k) {
  const int64_t count = rows.dim(0), d = rows.dim(1);
  MOE_CHECK(x.dim(1) == d && source.size() >= count,
            "cannot permute to {} rows: widths differ or source is too short; x is {}", count, x.shape.to_string());
  if (on_cuda(ctx)) return check_same_type(rows, x), cuda::permute_forward(ctx, rows, x, source, k);
  if (ctx.planning) return;
  for_copy_types(rows.dtype, x.dtype, [&]<class To, class From>(To, From) {
    To* to = rows.as<To>();
    const From* in = x.as<From>();
    const int32_t* slot = source.as<int32_t>();
#pragma omp parallel for schedule(static)
    for (int64_t r = 0; r < count; ++r) copy_row(to + r * d, in + slot[r] / k * d, d);
  });
}

void permute_backward(Context& ctx, Tensor d_x, ConstTensor d_rows, ConstTensor position) {
  const int64_t tokens = d_x.dim(0), d = d_x.dim(1), k = position.dim(1);
  MOE_CHECK(position.dim(0) == tokens && d_rows.dim(1) == d, "shapes do not fit: d_rows {}, d_x {}",
            d_rows.shape.to_string(), d_x.shape.to_string());
  if (on_cuda(ctx)) return cuda::permute_backward(ctx, d_x, d_rows, position);
  run(ctx, d_x.dtype, [&]<class T>(T) {
    T* out = d_x.as<T>();
    const T* in = d_rows.as<T>();
    const int32_t* at = position.as<int32_t>();
#pragma omp parallel for schedule(static)
    for (int64_t t = 0; t < tokens; ++t) {
      for (int64_t j = 0; j < k; ++j) {
        if (at[t * k + j] < 0) continue;
        const T* row = in + at[t * k + j] * d;
#pragma omp simd
        for (int64_t i = 0; i < d; ++i) out[t * d + i] += row[i];
      }
    }
  });
}

void combine_forward(Context& ctx, Tensor y, ConstTensor rows, ConstTensor weights, ConstTensor position) {
  const int64_t tokens = y.dim(0), d = y.dim(1), k = position.dim(1);
  MOE_CHECK(rows.dim(1) == d, "widths differ: rows {}, y {}", rows.shape.to_string(), y.shape.to_string());
  MOE_CHECK_SHAPE(weights, {tokens, k});
  MOE_CHECK_SHAPE(position, {tokens, k});
  if (on_cuda(ctx)) return cuda::combine_forward(ctx, y, rows, weights, position);
  run(ctx, y.dtype, [&]<class T>(T) {
    T* out = y.as<T>();
    const T *in = rows.as<T>(), *w = weights.as<T>();
    const int32_t* at = position.as<int32_t>();
#pragma omp parallel for schedule(static)
    for (int64_t t = 0; t < tokens; ++t) {
      std::fill_n(out + t * d, d, T(0));
      for (int64_t j = 0; j < k; ++j) {
        if (at[t * k + j] < 0) continue;
        const T* row = in + at[t * k + j] * d;
        const T weight = w[t * k + j];
#pragma omp simd
        for (int64_t i = 0; i < d; ++i) out[t * d + i] += weight * row[i];
      }
    }
  });
}

void combine_backward(Context& ctx, Tensor d_rows, Tensor d_weights, ConstTensor d_y, ConstTensor rows,
                      ConstTensor weights, ConstTensor position, ConstTensor source) {
  const int64_t tokens = d_y.dim(0), d = d_y.dim(1), k = position.dim(1), count = d_rows.dim(0);
  MOE_CHECK_SHAPE(weights, {tokens, k});
  MOE_CHECK_SHAPE(d_weights, {tokens, k});
  MOE_CHECK_SHAPE(rows, {count, d});
  MOE_CHECK(source.size() >= count, "{} elements in source, fewer than {} rows", source.size(), count);
  if (on_cuda(ctx)) return cuda::combine_backward(ctx, d_rows, d_weights, d_y, rows, weights, position, source);
  run(ctx, d_y.dtype, [&]<class T>(T) {
    const T *grad = d_y.as<T>(), *in = rows.as<T>(), *w = weights.as<T>();
    T *out = d_rows.as<T>(), *d_w = d_weights.as<T>();
    const int32_t *at = position.as<int32_t>(), *slot = source.as<int32_t>();
#pragma omp parallel
    {
#pragma omp for schedule(static)
      for (int64_t r = 0; r < count; ++r) {
        const T weight = w[slot[r]];
        const T* g = grad + slot[r] / k * d;
#pragma omp simd
        for (int64_t i = 0; i < d; ++i) out[r * d + i] = weight * g[i];
      }
#pragma omp for schedule(static)
      for (int64_t s = 0; s < tokens * k; ++s) {
        T dot = 0;
        if (at[s] >= 0) {
          const T *g = grad + s / k * d, *row = in + at[s] * d;
#pragma omp simd reduction(+ : dot)
          for (int64_t i = 0; i < d; ++i) dot += g[i] * row[i];
        }
        d_w[s] = dot;
      }
    }
  });
}

void gather_rows(Context& ctx, Tensor y, ConstTensor x, ConstTensor index) {
  const int64_t count = y.dim(0), d = y.dim(1);
  MOE_CHECK(x.dim(1) == d && index.size() >= count,
            "cannot gather {} rows: widths differ or index is too short; x is {}", count, x.shape.to_string());
  if (on_cuda(ctx)) return check_same_type(y, x), cuda::gather_rows(ctx, y, x, index);
  if (ctx.planning) return;
  for_copy_types(y.dtype, x.dtype, [&]<class To, class From>(To, From) {
    To* to = y.as<To>();
    const From* in = x.as<From>();
    const int32_t* from = index.as<int32_t>();
#pragma omp parallel for schedule(static)
    for (int64_t r = 0; r < count; ++r) copy_row(to + r * d, in + from[r] * d, d);
  });
}

}  // namespace moe
