// Products with few rows of A, as in generating text: each element of B is used so few times that packing it would cost
// more than the product. B is read where it is, once, in vectors of neighbouring columns of op(B), so that every
// element of C is the same chain of fused multiply-adds as in micro_kernel.h, and no bit depends on how many rows there
// are.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <utility>

#include "core/ops/gemm.h"
#include "core/ops/kernels/gemm/micro_kernel.h"

namespace moe::cpu::inline MOE_LEVEL {

inline constexpr int kFewRows = 4;

template <class T>
bool takes_few_rows(const GemmProblem<T>& problem) {
  return problem.m <= kFewRows && problem.transpose_a == Transpose::no;
}

template <class T>
inline constexpr int kLanes = kVectorBytes / static_cast<int>(sizeof(T));

template <class T>
struct VectorOf {
  typedef T type __attribute__((vector_size(kVectorBytes)));
};

// Exchanges the blocks of `step` lanes that stand off the diagonal between two rows of a square.
template <int step, class Vector, int... lane>
[[gnu::always_inline]] inline void exchange(Vector& low, Vector& high, std::integer_sequence<int, lane...>) {
  constexpr int kCount = sizeof...(lane);
  const Vector first = low, second = high;
  low = __builtin_shufflevector(first, second, ((lane & step) != 0 ? kCount + lane - step : lane)...);
  high = __builtin_shufflevector(first, second, ((lane & step) != 0 ? kCount + lane : lane + step)...);
}

// Transposes a square of vectors.
template <int step, class Vector, int lanes>
[[gnu::always_inline]] inline void transpose(Vector (&rows)[lanes]) {
  if constexpr (step > 0) {
    unroll<lanes>([&](auto i) __attribute__((always_inline)) {
      if constexpr ((i & step) == 0) exchange<step>(rows[i], rows[i + step], std::make_integer_sequence<int, lanes>{});
    });
    transpose<step / 2>(rows);
  }
}

// Writes the first `count` columns of the rows' sums to C.
template <class T, int num_rows, class Vector>
[[gnu::always_inline]] inline void add_to_c(const GemmProblem<T>& problem, bool accumulate, int64_t column,
                                            int64_t count, const Vector (&sum)[num_rows]) {
  unroll<num_rows>([&](auto i) __attribute__((always_inline)) {
    T* const c = problem.c + i * problem.ldc + column;
    Vector result = problem.alpha * sum[i];
    if (accumulate) {
      Vector before = {};
      std::memcpy(&before, c, static_cast<size_t>(count) * sizeof(T));
      result = before + problem.alpha * sum[i];  // fused, as in the micro-kernel
    }
    std::memcpy(c, &result, static_cast<size_t>(count) * sizeof(T));
  });
}

// B is stored (n, k): a vector's columns are so many rows of B, of which squares are transposed in registers.
template <class T, int num_rows>
void few_rows_along(const GemmProblem<T>& problem, int64_t p0, int64_t p1) {
  using Vector = typename VectorOf<T>::type;
  constexpr int kWidth = kLanes<T>;
  for (int64_t column = 0; column < problem.n; column += kWidth) {
    const int64_t count = std::min<int64_t>(kWidth, problem.n - column);
    const T* rows[kWidth];  // the rest of a last, narrower vector repeats a valid row
    for (int64_t i = 0; i < kWidth; ++i) rows[i] = problem.b + (column + std::min<int64_t>(i, count - 1)) * problem.ldb;
    Vector sum[num_rows] = {};
    int64_t p = p0;
    for (; p + kWidth <= p1; p += kWidth) {
      Vector square[kWidth];
      unroll<kWidth>([&](auto i) __attribute__((always_inline)) {
        std::memcpy(&square[i], rows[i] + p, sizeof(Vector));
        // Of the next vector's row: rows are too many and too short for the hardware's prefetchers.
        __builtin_prefetch(rows[i] + kWidth * problem.ldb + p);
      });
      transpose<kWidth / 2>(square);
      unroll<kWidth>([&](auto step) __attribute__((always_inline)) {
        unroll<num_rows>([&](auto i) __attribute__((always_inline)) {
          sum[i] += problem.a[i * problem.lda + p + step] * square[step];
        });
      });
    }
    for (; p < p1; ++p) {
      Vector b;
      for (int i = 0; i < kWidth; ++i) b[i] = rows[i][p];
      unroll<num_rows>([&](auto i) __attribute__((always_inline)) { sum[i] += problem.a[i * problem.lda + p] * b; });
    }
    add_to_c<T, num_rows>(problem, problem.accumulate || p0 > 0, column, count, sum);
  }
}

// B is stored (k, n): its rows are read along the columns, several vectors at a time, whose chains run side by side.
template <class T, int num_rows, int vectors>
int64_t few_rows_across(const GemmProblem<T>& problem, int64_t p0, int64_t p1, int64_t column) {
  using Vector = typename VectorOf<T>::type;
  constexpr int64_t kWidth = kLanes<T>;
  for (; column + vectors * kWidth <= problem.n; column += vectors * kWidth) {
    Vector sum[vectors][num_rows] = {};
    for (int64_t p = p0; p < p1; ++p) {
      unroll<vectors>([&](auto v) __attribute__((always_inline)) {
        Vector b;
        std::memcpy(&b, problem.b + p * problem.ldb + column + v * kWidth, sizeof(Vector));
        unroll<num_rows>([&](auto i)
                             __attribute__((always_inline)) { sum[v][i] += problem.a[i * problem.lda + p] * b; });
      });
    }
    unroll<vectors>([&](auto v) __attribute__((always_inline)) {
      add_to_c<T, num_rows>(problem, problem.accumulate || p0 > 0, column + v * kWidth, kWidth, sum[v]);
    });
  }
  return column;
}

template <class T, int num_rows>
void few_rows_across(const GemmProblem<T>& problem, int64_t p0, int64_t p1) {
  using Vector = typename VectorOf<T>::type;
  int64_t column = few_rows_across<T, num_rows, 4>(problem, p0, p1, 0);
  column = few_rows_across<T, num_rows, 1>(problem, p0, p1, column);
  const int64_t count = problem.n - column;
  if (count == 0) return;
  Vector sum[num_rows] = {};
  for (int64_t p = p0; p < p1; ++p) {
    Vector b = {};
    std::memcpy(&b, problem.b + p * problem.ldb + column, static_cast<size_t>(count) * sizeof(T));
    unroll<num_rows>([&](auto i) __attribute__((always_inline)) { sum[i] += problem.a[i * problem.lda + p] * b; });
  }
  add_to_c<T, num_rows>(problem, problem.accumulate || p0 > 0, column, count, sum);
}

template <class T, int num_rows>
void multiply_rows(const GemmProblem<T>& problem, int64_t block_depth) {
  for (int64_t p = 0; p < problem.k; p += block_depth) {
    const int64_t end = std::min(problem.k, p + block_depth);
    if (problem.transpose_b == Transpose::yes)
      few_rows_along<T, num_rows>(problem, p, end);
    else
      few_rows_across<T, num_rows>(problem, p, end);
  }
}

// For problems that takes_few_rows(), with at least a row. `block_depth`: the length of k that is summed in registers.
template <class T>
void multiply_few_rows(const GemmProblem<T>& problem, int64_t block_depth) {
  using Solve = void (*)(const GemmProblem<T>&, int64_t);
  static constexpr Solve kSolvers[kFewRows] = {multiply_rows<T, 1>, multiply_rows<T, 2>, multiply_rows<T, 3>,
                                               multiply_rows<T, 4>};
  kSolvers[problem.m - 1](problem, block_depth);
}

}  // namespace moe::cpu::inline MOE_LEVEL
