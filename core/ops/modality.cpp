#include "core/ops/modality.h"

#include <algorithm>

#include "core/base/token.h"
#include "core/ops/dispatch.h"

namespace moe {

// Returns the number of samples.
static int64_t check_layout(int64_t tokens, const ModalityLayout& l) {
  MOE_CHECK(l.time > 0 && l.modality >= 0 && l.modality < l.modalities && tokens % (l.time * l.modalities) == 0,
            "{} tokens cannot be divided into samples of {} sequences of {} tokens", tokens, l.modalities, l.time);
  return tokens / (l.time * l.modalities);
}

void modality_targets(Context& ctx, Tensor masked, ConstTensor targets, const ModalityLayout& layout) {
  MOE_CHECK_SHAPE(masked, {targets.size()});
  MOE_CHECK_DTYPE(masked, DType::i32);
  MOE_CHECK_DTYPE(targets, DType::i32);
  check_layout(targets.size(), layout);
  if (on_cuda(ctx)) return cuda::modality_targets(ctx, masked, targets, layout);
  run(ctx, DType::f32, [&]<class T>(T) {
    const int32_t* from = targets.as<int32_t>();
    int32_t* to = masked.as<int32_t>();
    for (int64_t t = 0; t < targets.size(); ++t) to[t] = layout.has(t) ? from[t] : kIgnoreTarget;
  });
}

void modality_one_hot(Context& ctx, Tensor y, const ModalityLayout& layout) {
  const int64_t tokens = y.dim(0), modalities = layout.modalities;
  check_layout(tokens, layout);
  MOE_CHECK_SHAPE(y, {tokens, modalities});
  if (on_cuda(ctx)) return cuda::modality_one_hot(ctx, y, layout);
  run(ctx, y.dtype, [&]<class T>(T) {
    T* to = y.as<T>();
    for (int64_t t = 0; t < tokens; ++t) {
      for (int64_t m = 0; m < modalities; ++m) to[t * modalities + m] = t / layout.time % modalities == m ? T(1) : T(0);
    }
  });
}

// The number of places of each sequence that are taken or put.
static int64_t count_of(ConstTensor all, ConstTensor part, const ModalityLayout& layout) {
  const int64_t samples = check_layout(all.dim(0), layout);
  const int64_t count = samples > 0 ? part.dim(0) / samples : 0;
  MOE_CHECK(all.dtype == part.dtype && part.dim(0) == samples * count && count <= layout.time &&
                part.size() * std::max<int64_t>(all.dim(0), 1) == all.size() * part.dim(0),
            "shapes do not fit: all tokens {}, those of a modality {}", all.shape.to_string(), part.shape.to_string());
  return count;
}

// Calls on_cpu with the type by which elements are copied: 32-bit integers are copied as f32.
template <class OnCpu>
static void copy_elements(const Context& ctx, DType dtype, OnCpu&& on_cpu) {
  run(ctx, dtype == DType::i32 ? DType::f32 : dtype, on_cpu);
}

void take_modality(Context& ctx, Tensor y, ConstTensor x, const ModalityLayout& layout) {
  const int64_t count = count_of(x, y, layout);
  if (on_cuda(ctx)) return cuda::take_modality(ctx, y, x, layout);
  if (y.size() == 0) return;
  copy_elements(ctx, x.dtype, [&]<class T>(T) {
    const int64_t d = y.size() / y.dim(0);
    const T* from = static_cast<const T*>(x.data);
    T* to = static_cast<T*>(y.data);
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < y.dim(0); ++i) std::copy_n(from + layout.token(i / count, i % count) * d, d, to + i * d);
  });
}

void put_modality(Context& ctx, Tensor y, ConstTensor x, const ModalityLayout& layout) {
  const int64_t count = count_of(y, x, layout);
  if (on_cuda(ctx)) return cuda::put_modality(ctx, y, x, layout);
  if (y.size() == 0) return;
  copy_elements(ctx, x.dtype, [&]<class T>(T) {
    const int64_t d = y.size() / y.dim(0), places = y.dim(0) / layout.modalities;
    const T* from = static_cast<const T*>(x.data);
    T* to = static_cast<T*>(y.data);
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < places; ++i) {
      const int64_t sample = i / layout.time, place = i % layout.time;
      T* const row = to + layout.token(sample, place) * d;
      if (place < count) {
        std::copy_n(from + (sample * count + place) * d, d, row);
      } else {
        std::fill_n(row, d, T(0));
      }
    }
  });
}

}  // namespace moe
