// Copies of rows on the CPU that may change the type: f32 is rounded to bf16, or bf16 is widened.
#pragma once
#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "core/tensor/tensor.h"

namespace moe {

template <class To, class From>
void copy_row(To* y, const From* x, int64_t n) {
  if constexpr (std::is_same_v<To, From>) {
    std::copy_n(x, n, y);
  } else if constexpr (std::is_same_v<To, BFloat16>) {
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) y[i] = to_bfloat16(x[i]);
  } else {
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) y[i] = to_float(x[i]);
  }
}

// Calls copies(To{}, From{}) for a copy of x to y, if copy_row() can make it. Throws InternalError otherwise.
template <class Copies>
void for_copy_types(DType y, DType x, Copies copies) {
  const auto same = [&]<class T>(T) {
    if (x == DTypeOf<T>::value && y == x) copies(T{}, T{});
    return x == DTypeOf<T>::value && y == x;
  };
  if (same(float{}) || same(double{}) || same(int32_t{}) || same(BFloat16{})) return;
  if (y == DType::bf16 && x == DType::f32) return copies(BFloat16{}, float{});
  if (y == DType::f32 && x == DType::bf16) return copies(float{}, BFloat16{});
  raise<InternalError>("{} rows cannot be copied to {} rows", name_of(x), name_of(y));
}

}  // namespace moe
