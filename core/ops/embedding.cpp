#include "core/ops/embedding.h"

#include <algorithm>

#include "core/ops/dispatch.h"

namespace moe {

void embedding_forward(Context& ctx, Tensor y, ConstTensor table, ConstTensor ids) {
  const int64_t tokens = ids.dim(0), d = table.dim(1);
  MOE_CHECK_SHAPE(y, {tokens, d});
  MOE_CHECK_DTYPE(ids, DType::i32);
  if (on_cuda(ctx)) return cuda::embedding_forward(ctx, y, table, ids);
  run(ctx, table.dtype, [&]<class T>(T) {
    const int32_t* id = ids.as<int32_t>();
    const T* from = table.as<T>();
    T* to = y.as<T>();
#pragma omp parallel for schedule(static)
    for (int64_t t = 0; t < tokens; ++t) std::copy_n(from + id[t] * d, d, to + t * d);
  });
}

void position_ids(Context& ctx, Tensor ids, int64_t time, ConstTensor begins, ConstTensor starts) {
  MOE_CHECK_DTYPE(ids, DType::i32);
  if (begins) MOE_CHECK_SHAPE(begins, {ids.size()});
  if (starts) MOE_CHECK_SHAPE(starts, {ids.size() / time});
  if (on_cuda(ctx)) return cuda::position_ids(ctx, ids, time, begins, starts);
  if (ctx.planning) return;
  for (int64_t t = 0; t < ids.size(); ++t) {
    ids.as<int32_t>()[t] = static_cast<int32_t>(t % time) - (begins ? begins.as<int32_t>()[t] : 0) +
                           (starts ? starts.as<int32_t>()[t / time] : 0);
  }
}

void embedding_backward(Context& ctx, Tensor d_table, ConstTensor d_y, ConstTensor ids) {
  const int64_t tokens = ids.dim(0), d = d_table.dim(1);
  MOE_CHECK_SHAPE(d_y, {tokens, d});
  MOE_CHECK_DTYPE(ids, DType::i32);
  if (on_cuda(ctx)) return cuda::embedding_backward(ctx, d_table, d_y, ids);
  run(ctx, d_table.dtype, [&]<class T>(T) {
    const int32_t* id = ids.as<int32_t>();
    const T* from = d_y.as<T>();
    T* to = d_table.as<T>();
    // Each thread processes its own columns: equal ids do not race and the order is fixed.
    constexpr int64_t kColumns = 64;
#pragma omp parallel for schedule(static)
    for (int64_t begin = 0; begin < d; begin += kColumns) {
      const int64_t end = std::min(begin + kColumns, d);
      for (int64_t t = 0; t < tokens; ++t) {
#pragma omp simd
        for (int64_t i = begin; i < end; ++i) to[id[t] * d + i] += from[t * d + i];
      }
    }
  });
}

}  // namespace moe
