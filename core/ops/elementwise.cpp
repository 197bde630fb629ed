#include "core/ops/elementwise.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <vector>

#include "core/base/integer.h"
#include "core/ops/copy_row.h"
#include "core/ops/dispatch.h"

namespace moe {

void fill_zero(Context& ctx, Tensor x) {
  if (on_cuda(ctx)) return cuda::fill_zero(ctx, x);
  run(ctx, DType::f32, [&]<class T>(T) {  // zero has no bit in any type
    char* p = static_cast<char*>(x.data);
    const auto n = static_cast<int64_t>(x.bytes());
#pragma omp parallel for simd schedule(static)
    for (int64_t i = 0; i < n; ++i) p[i] = 0;
  });
}

void copy(Context& ctx, Tensor y, ConstTensor x) {
  MOE_CHECK(y.bytes() == x.bytes() && y.dtype == x.dtype, "copy: shapes or dtypes differ: {} to {}",
            x.shape.to_string(), y.shape.to_string());
  if (on_cuda(ctx)) return cuda::copy(ctx, y, x);
  if (!ctx.planning && x.bytes() > 0) std::memcpy(y.data, x.data, x.bytes());
}

void add(Context& ctx, Tensor y, ConstTensor a, ConstTensor b) {
  MOE_CHECK(y.size() == a.size() && y.size() == b.size(), "add: shapes differ: {} and {}", a.shape.to_string(),
            b.shape.to_string());
  if (on_cuda(ctx)) return cuda::add(ctx, y, a, b);
  run(ctx, y.dtype, [&]<class T>(T) {
    T* out = y.as<T>();
    const T *left = a.as<T>(), *right = b.as<T>();
    const int64_t n = y.size();
#pragma omp parallel for simd schedule(static)
    for (int64_t i = 0; i < n; ++i) out[i] = left[i] + right[i];
  });
}

void add_scaled(Context& ctx, Tensor y, ConstTensor x, double factor) {
  MOE_CHECK(y.size() == x.size(), "add_scaled: shapes differ: {} to {}", x.shape.to_string(), y.shape.to_string());
  if (on_cuda(ctx)) return cuda::add_scaled(ctx, y, x, factor);
  run(ctx, y.dtype, [&]<class T>(T) {
    T* out = y.as<T>();
    const T* in = x.as<T>();
    const int64_t n = y.size();
    const T f = static_cast<T>(factor);
#pragma omp parallel for simd schedule(static)
    for (int64_t i = 0; i < n; ++i) out[i] += f * in[i];
  });
}

void scale(Context& ctx, Tensor x, double factor) {
  if (on_cuda(ctx)) return cuda::scale(ctx, x, factor);
  run(ctx, x.dtype, [&]<class T>(T) {
    T* p = x.as<T>();
    const int64_t n = x.size();
    const T f = static_cast<T>(factor);
#pragma omp parallel for simd schedule(static)
    for (int64_t i = 0; i < n; ++i) p[i] *= f;
  });
}

static void narrow(Tensor y, const double* x) {
  for (int64_t i = 0; i < y.size(); ++i) {
    const auto value = static_cast<float>(x[i]);
    if (y.dtype == DType::bf16) {
      y.as<BFloat16>()[i] = to_bfloat16(value);
    } else {
      y.as<float>()[i] = value;
    }
  }
}

void convert(Context& ctx, Tensor y, ConstTensor x) {
  MOE_CHECK(y.size() == x.size(), "convert: shapes differ: {} to {}", x.shape.to_string(), y.shape.to_string());
  if (y.dtype == x.dtype) return copy(ctx, y, x);
  if (on_cuda(ctx)) return cuda::convert(ctx, y, x);
  if (ctx.planning) return;
  if (x.dtype == DType::f64) return narrow(y, x.as<double>());
  constexpr int64_t kRun = 4096;
  for_copy_types(y.dtype, x.dtype, [&]<class To, class From>(To, From) {
    To* to = y.as<To>();
    const From* from = x.as<From>();
    const int64_t n = x.size();
#pragma omp parallel for schedule(static)
    for (int64_t begin = 0; begin < n; begin += kRun) copy_row(to + begin, from + begin, std::min(kRun, n - begin));
  });
}

void complement(Context& ctx, Tensor y, ConstTensor x) {
  MOE_CHECK(y.size() == x.size(), "complement: shapes differ: {} of {}", y.shape.to_string(), x.shape.to_string());
  if (on_cuda(ctx)) return cuda::complement(ctx, y, x);
  run(ctx, y.dtype, [&]<class T>(T) {
    T* out = y.as<T>();
    const T* in = x.as<T>();
    const int64_t n = y.size();
#pragma omp parallel for simd schedule(static)
    for (int64_t i = 0; i < n; ++i) out[i] = T(1) - in[i];
  });
}

void tanh_forward(Context& ctx, Tensor y, ConstTensor x) {
  MOE_CHECK(y.size() == x.size(), "tanh: shapes differ: {} of {}", y.shape.to_string(), x.shape.to_string());
  if (on_cuda(ctx)) return cuda::tanh_forward(ctx, y, x);
  run(ctx, y.dtype, [&]<class T>(T) {
    T* out = y.as<T>();
    const T* in = x.as<T>();
    const int64_t n = y.size();
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < n; ++i) out[i] = std::tanh(in[i]);
  });
}

void tanh_backward(Context& ctx, Tensor d_x, ConstTensor d_y, ConstTensor y) {
  MOE_CHECK(d_x.size() == y.size() && d_y.size() == y.size(),
            "tanh backward: shapes of gradients {} and {} and of y {} differ", d_x.shape.to_string(),
            d_y.shape.to_string(), y.shape.to_string());
  if (on_cuda(ctx)) return cuda::tanh_backward(ctx, d_x, d_y, y);
  run(ctx, d_x.dtype, [&]<class T>(T) {
    T* out = d_x.as<T>();
    const T *slope = d_y.as<T>(), *result = y.as<T>();
    const int64_t n = y.size();
#pragma omp parallel for simd schedule(static)
    for (int64_t i = 0; i < n; ++i) out[i] = slope[i] * (T(1) - result[i] * result[i]);
  });
}

void add_scaled_rows(Context& ctx, Tensor y, ConstTensor x, ConstTensor factors) {
  const int64_t rows = y.dim(0), d = y.dim(1);
  MOE_CHECK_SHAPE(x, {rows, d});
  MOE_CHECK_SHAPE(factors, {rows});
  if (on_cuda(ctx)) return cuda::add_scaled_rows(ctx, y, x, factors);
  run(ctx, y.dtype, [&]<class T>(T) {
    T* out = y.as<T>();
    const T *in = x.as<T>(), *factor = factors.as<T>();
#pragma omp parallel for schedule(static)
    for (int64_t r = 0; r < rows; ++r) {
#pragma omp simd
      for (int64_t i = r * d; i < (r + 1) * d; ++i) out[i] += factor[r] * in[i];
    }
  });
}

void row_dots(Context& ctx, Tensor dots, ConstTensor a, ConstTensor b) {
  const int64_t rows = a.dim(0), d = a.dim(1);
  MOE_CHECK_SHAPE(b, {rows, d});
  MOE_CHECK_SHAPE(dots, {rows});
  if (on_cuda(ctx)) return cuda::row_dots(ctx, dots, a, b);
  run(ctx, a.dtype, [&]<class T>(T) {
    T* out = dots.as<T>();
    const T *left = a.as<T>(), *right = b.as<T>();
#pragma omp parallel for schedule(static)
    for (int64_t r = 0; r < rows; ++r) {
      T sum = 0;
#pragma omp simd reduction(+ : sum)
      for (int64_t i = r * d; i < (r + 1) * d; ++i) sum += left[i] * right[i];
      out[r] = sum;
    }
  });
}

double sum_of_elements(Context& ctx, ConstTensor x) {
  if (on_cuda(ctx)) return cuda::sum_of_elements(ctx, x);
  double total = 0;
  run(ctx, x.dtype, [&]<class T>(T) {
    const T* p = x.as<T>();
    for (int64_t i = 0; i < x.size(); ++i) total += static_cast<double>(p[i]);
  });
  return total;
}

void sums_of_squares(Context& ctx, ConstTensor x, std::span<double> blocks) {
  MOE_CHECK(std::ssize(blocks) == divide_up(x.size(), kSquaresBlock), "{} sums of {} elements", blocks.size(),
            x.size());
  MOE_CHECK(!on_cuda(ctx), "the sums of blocks are computed on the CPU alone");
  run(ctx, x.dtype, [&]<class T>(T) {
    const T* p = x.as<T>();
    const int64_t n = x.size(), num_blocks = std::ssize(blocks);
    double* const sums = blocks.data();
#pragma omp parallel for schedule(static)
    for (int64_t b = 0; b < num_blocks; ++b) {
      double sum = 0;
      const int64_t block_end = std::min((b + 1) * kSquaresBlock, n);
      for (int64_t begin = b * kSquaresBlock; begin < block_end; begin += 256) {
        T squares = 0;
        const int64_t end = std::min(begin + 256, block_end);
#pragma omp simd reduction(+ : squares)
        for (int64_t i = begin; i < end; ++i) squares += p[i] * p[i];
        sum += static_cast<double>(squares);
      }
      sums[b] = sum;
    }
  });
}

double sum_of_squares(Context& ctx, ConstTensor x) {
  if (on_cuda(ctx)) return cuda::sum_of_squares(ctx, x);
  // Added in order, so the result does not depend on the threads.
  thread_local std::vector<double> blocks;
  blocks.resize(as_index(divide_up(x.size(), kSquaresBlock)));
  sums_of_squares(ctx, x, blocks);
  return std::accumulate(blocks.begin(), blocks.end(), 0.0);
}

}  // namespace moe
