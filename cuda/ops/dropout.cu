#include "core/base/integer.h"
#include "core/ops/dropout.h"

#include "cuda/device/launch.cuh"
#include "cuda/kernel/vector.cuh"
#include "cuda/kernel/warp.cuh"

namespace moe::cuda {

static constexpr int kThreads = 256;

// One thread per four columns of a row, which share a draw.
template <class T>
__global__ void dropout_kernel(T* x, const int32_t* ids, RandomKey key, int64_t first_row, int64_t rows, int64_t d,
                               uint32_t threshold, float keep) {
  const int64_t quads = (d + 3) / 4, i = thread_in_grid(), r = i / quads;
  if (r >= rows || (ids && ids[r] < 0)) return;
  const int64_t begin = i % quads * 4, row = first_row + (ids ? ids[r] : r);
  const auto words = key.words(static_cast<uint64_t>(row * quads + begin / 4));
#pragma unroll
  for (int j = 0; j < 4; ++j) {
    if (begin + j >= d) continue;
    T* element = x + r * d + begin + j;
    store(element, words[as_index(j)] < threshold ? 0.0f : load(element) * keep);
  }
}

// One thread per element.
template <class T>
__global__ void drop_groups_kernel(T* x, RandomKey key, int64_t first_row, int64_t rows_per_draw, int64_t size,
                                   int64_t d, uint32_t threshold, float keep) {
  const int64_t i = thread_in_grid();
  if (i >= size) return;
  const auto words = key.words(static_cast<uint64_t>((first_row + i / d) / rows_per_draw));
  store(x + i, words[0] < threshold ? 0.0f : load(x + i) * keep);
}

// ---- launchers -----------------------------------------------------------------------------------------------------

static uint32_t threshold_of(double rate) {
  return static_cast<uint32_t>(rate * 4294967296.0);
}

void dropout(Context& ctx, Tensor x, double rate, const RandomKey& key, int64_t first_row, ConstTensor ids) {
  const int64_t rows = x.dim(0), d = x.dim(1);
  for_type(x.dtype, [&]<class T>(T) {
    launch(ctx, dropout_kernel<T>, blocks_for(rows * ((d + 3) / 4), kThreads), kThreads, 0, x.as<T>(),
           ids ? ids.as<int32_t>() : nullptr, key, first_row, rows, d, threshold_of(rate),
           static_cast<float>(1 / (1 - rate)));
  });
}

void drop_groups(Context& ctx, Tensor x, double rate, const RandomKey& key, int64_t first_row, int64_t rows_per_draw) {
  for_type(x.dtype, [&]<class T>(T) {
    launch(ctx, drop_groups_kernel<T>, blocks_for(x.size(), kThreads), kThreads, 0, x.as<T>(), key, first_row,
           rows_per_draw, x.size(), x.dim(1), threshold_of(rate), static_cast<float>(1 / (1 - rate)));
  });
}

}  // namespace moe::cuda
