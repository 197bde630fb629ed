#include "core/ops/modality.h"

#include "core/base/token.h"
#include "cuda/device/launch.cuh"
#include "cuda/kernel/vector.cuh"
#include "cuda/kernel/warp.cuh"

namespace moe::cuda {

static constexpr int kThreads = 256;

static __global__ void modality_targets_kernel(int32_t* masked, const int32_t* targets, int64_t n,
                                               ModalityLayout layout) {
  const int64_t i = thread_in_grid();
  if (i < n) masked[i] = layout.has(i) ? targets[i] : kIgnoreTarget;
}

template <class T>
__global__ void modality_one_hot_kernel(T* y, int64_t size, ModalityLayout layout) {
  const int64_t i = thread_in_grid(), token = i / layout.modalities;
  if (i < size) store(y + i, token / layout.time % layout.modalities == i % layout.modalities ? 1.0f : 0.0f);
}

// One thread per element of y.
template <class T>
__global__ void take_modality_kernel(T* y, const T* x, int64_t size, int64_t d, int64_t count, ModalityLayout layout) {
  const int64_t i = thread_in_grid(), row = i / d;
  if (i < size) y[i] = x[layout.token(row / count, row % count) * d + i % d];
}

// One thread per element of the modality's sequences in y.
template <class T>
__global__ void put_modality_kernel(T* y, const T* x, int64_t size, int64_t d, int64_t count, ModalityLayout layout) {
  const int64_t i = thread_in_grid(), row = i / d, sample = row / layout.time, place = row % layout.time;
  if (i >= size) return;
  y[layout.token(sample, place) * d + i % d] = place < count ? x[(sample * count + place) * d + i % d] : T{};
}

// ---- launchers -----------------------------------------------------------------------------------------------------

void modality_targets(Context& ctx, Tensor masked, ConstTensor targets, const ModalityLayout& layout) {
  launch(ctx, modality_targets_kernel, blocks_for(targets.size(), kThreads), kThreads, 0, masked.as<int32_t>(),
         targets.as<int32_t>(), targets.size(), layout);
}

void modality_one_hot(Context& ctx, Tensor y, const ModalityLayout& layout) {
  for_type(y.dtype, [&]<class T>(T) {
    launch(ctx, modality_one_hot_kernel<T>, blocks_for(y.size(), kThreads), kThreads, 0, y.as<T>(), y.size(), layout);
  });
}

// Calls f with the type by which elements are copied.
template <class F>
static void copy_elements(DType dtype, F f) {
  dtype == DType::i32 ? f(int32_t{}) : for_type(dtype, f);
}

// The number of places of each sequence that are taken or put.
static int64_t count_of(int64_t tokens, int64_t rows, const ModalityLayout& layout) {
  const int64_t samples = tokens / (layout.time * layout.modalities);
  return samples > 0 ? rows / samples : 0;
}

void take_modality(Context& ctx, Tensor y, ConstTensor x, const ModalityLayout& layout) {
  if (y.size() == 0) return;
  copy_elements(x.dtype, [&]<class T>(T) {
    launch(ctx, take_modality_kernel<T>, blocks_for(y.size(), kThreads), kThreads, 0, y.as<T>(), x.as<T>(), y.size(),
           y.size() / y.dim(0), count_of(x.dim(0), y.dim(0), layout), layout);
  });
}

void put_modality(Context& ctx, Tensor y, ConstTensor x, const ModalityLayout& layout) {
  if (y.size() == 0) return;
  const int64_t size = y.size() / layout.modalities;
  copy_elements(x.dtype, [&]<class T>(T) {
    launch(ctx, put_modality_kernel<T>, blocks_for(size, kThreads), kThreads, 0, y.as<T>(), x.as<T>(), size,
           y.size() / y.dim(0), count_of(y.dim(0), x.dim(0), layout), layout);
  });
}

}  // namespace moe::cuda
