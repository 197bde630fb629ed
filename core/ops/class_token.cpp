#include "core/ops/class_token.h"

#include <algorithm>

#include "core/ops/dispatch.h"

namespace moe {

// Returns the number of sequences.
static int64_t check(ConstTensor y, ConstTensor x, ConstTensor row, int64_t time) {
  MOE_CHECK(time > 1 && y.dim(0) % time == 0, "{} tokens cannot be divided into sequences of {}", y.dim(0), time);
  const int64_t sequences = y.dim(0) / time, d = y.dim(1);
  MOE_CHECK_SHAPE(x, {sequences * (time - 1), d});
  MOE_CHECK_SHAPE(row, {d});
  return sequences;
}

void class_token_forward(Context& ctx, Tensor y, ConstTensor x, ConstTensor row, int64_t time) {
  const int64_t sequences = check(y, x, row, time), d = y.dim(1);
  if (on_cuda(ctx)) return cuda::class_token_forward(ctx, y, x, row, time);
  run(ctx, y.dtype, [&]<class T>(T) {
    const T *from = x.as<T>(), *first = row.as<T>();
    T* to = y.as<T>();
#pragma omp parallel for schedule(static)
    for (int64_t s = 0; s < sequences; ++s) {
      std::copy_n(first, d, to + s * time * d);
      std::copy_n(from + s * (time - 1) * d, (time - 1) * d, to + (s * time + 1) * d);
    }
  });
}

void class_token_backward(Context& ctx, Tensor d_x, Tensor d_row, ConstTensor d_y, int64_t time) {
  const int64_t sequences = check(d_y, d_x, d_row, time), d = d_y.dim(1);
  if (on_cuda(ctx)) return cuda::class_token_backward(ctx, d_x, d_row, d_y, time);
  run(ctx, d_y.dtype, [&]<class T>(T) {
    const T* from = d_y.as<T>();
    T *to = d_x.as<T>(), *first = d_row.as<T>();
#pragma omp parallel for schedule(static)
    for (int64_t s = 0; s < sequences; ++s) {
      std::copy_n(from + (s * time + 1) * d, (time - 1) * d, to + s * (time - 1) * d);
    }
    for (int64_t s = 0; s < sequences; ++s) {
#pragma omp simd
      for (int64_t i = 0; i < d; ++i) first[i] += from[s * time * d + i];
    }
  });
}

// Returns the number of sequences.
static int64_t check_end(ConstTensor hidden, ConstTensor row, ConstTensor lengths, int64_t time) {
  MOE_CHECK(time > 0 && hidden.dim(0) % time == 0, "{} tokens cannot be divided into sequences of {}", hidden.dim(0),
            time);
  const int64_t sequences = hidden.dim(0) / time;
  MOE_CHECK_SHAPE(row, {hidden.dim(1)});
  if (lengths) {
    MOE_CHECK_SHAPE(lengths, {sequences});
    MOE_CHECK_DTYPE(lengths, DType::i32);
  }
  return sequences;
}

// The last token of a sequence, whose row is replaced; -1 if the sequence is empty.
static int64_t end_of(const int32_t* lengths, int64_t sequence, int64_t time) {
  const int64_t length = lengths ? lengths[sequence] : time;
  return length > 0 ? sequence * time + length - 1 : -1;
}

void end_token_forward(Context& ctx, Tensor hidden, ConstTensor row, ConstTensor lengths, int64_t time) {
  const int64_t sequences = check_end(hidden, row, lengths, time), d = hidden.dim(1);
  if (on_cuda(ctx)) return cuda::end_token_forward(ctx, hidden, row, lengths, time);
  run(ctx, hidden.dtype, [&]<class T>(T) {
    for (int64_t s = 0; s < sequences; ++s) {
      const int64_t token = end_of(lengths ? lengths.as<int32_t>() : nullptr, s, time);
      if (token >= 0) std::copy_n(row.as<T>(), d, hidden.as<T>() + token * d);
    }
  });
}

void end_token_backward(Context& ctx, Tensor d_hidden, Tensor d_row, ConstTensor lengths, int64_t time) {
  const int64_t sequences = check_end(d_hidden, d_row, lengths, time), d = d_hidden.dim(1);
  if (on_cuda(ctx)) return cuda::end_token_backward(ctx, d_hidden, d_row, lengths, time);
  run(ctx, d_hidden.dtype, [&]<class T>(T) {
    T* sum = d_row.as<T>();
    for (int64_t s = 0; s < sequences; ++s) {
      const int64_t token = end_of(lengths ? lengths.as<int32_t>() : nullptr, s, time);
      if (token < 0) continue;
      T* from = d_hidden.as<T>() + token * d;
#pragma omp simd
      for (int64_t i = 0; i < d; ++i) sum[i] += from[i];
      std::fill_n(from, d, T(0));
    }
  });
}

}  // namespace moe
