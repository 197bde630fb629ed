// Conversion between storage types and f32, and access to several neighbouring elements of up to 16 bytes at once.
#pragma once
#include <cstdint>
#include <type_traits>

#include "core/tensor/tensor.h"
#include "cuda/kernel/ptx.cuh"

namespace moe::cuda {

__device__ inline float load(const float* p) {
  return *p;
}
__device__ inline float load(const BFloat16* p) {
  return to_float(*p);
}
__device__ inline void store(float* p, float x) {
  *p = x;
}
__device__ inline void store(BFloat16* p, float x) {
  p->bits = static_cast<uint16_t>(cvt_rn_bf16x2(x, 0));
}
// Stores two neighbours; p is aligned to the size of both together.
__device__ inline void store_pair(float* p, float low, float high) {
  *reinterpret_cast<float2*>(p) = make_float2(low, high);
}
__device__ inline void store_pair(BFloat16* p, float low, float high) {
  *reinterpret_cast<uint32_t*>(p) = cvt_rn_bf16x2(low, high);
}

// N elements as f32. With N > 1, p is at a 16-byte boundary and N elements fill a multiple of 16 bytes.
template <int N>
struct Floats {
  float v[N];
};
template <int N>
__device__ inline Floats<N> load_vector(const float* p) {
  Floats<N> result;
  if constexpr (N % 4 == 0) {
#pragma unroll
    for (int i = 0; i < N; i += 4) {
      const float4 raw = *reinterpret_cast<const float4*>(p + i);
      result.v[i] = raw.x, result.v[i + 1] = raw.y, result.v[i + 2] = raw.z, result.v[i + 3] = raw.w;
    }
  } else {
#pragma unroll
    for (int i = 0; i < N; ++i) result.v[i] = p[i];
  }
  return result;
}
template <int N>
__device__ inline Floats<N> load_vector(const BFloat16* p) {
  Floats<N> result;
  if constexpr (N == 8) {
    const uint4 raw = *reinterpret_cast<const uint4*>(p);
    const uint32_t words[4] = {raw.x, raw.y, raw.z, raw.w};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      result.v[2 * i] = __uint_as_float(words[i] << 16);
      result.v[2 * i + 1] = __uint_as_float(words[i] & 0xFFFF0000u);
    }
  } else {
#pragma unroll
    for (int i = 0; i < N; ++i) result.v[i] = to_float(p[i]);
  }
  return result;
}
template <int N>
__device__ inline void store_vector(float* p, const Floats<N>& x) {
  if constexpr (N % 4 == 0) {
#pragma unroll
    for (int i = 0; i < N; i += 4) {
      *reinterpret_cast<float4*>(p + i) = make_float4(x.v[i], x.v[i + 1], x.v[i + 2], x.v[i + 3]);
    }
  } else {
#pragma unroll
    for (int i = 0; i < N; ++i) p[i] = x.v[i];
  }
}
template <int N>
__device__ inline void store_vector(BFloat16* p, const Floats<N>& x) {
  if constexpr (N == 8) {
    uint4 raw;
    raw.x = cvt_rn_bf16x2(x.v[0], x.v[1]);
    raw.y = cvt_rn_bf16x2(x.v[2], x.v[3]);
    raw.z = cvt_rn_bf16x2(x.v[4], x.v[5]);
    raw.w = cvt_rn_bf16x2(x.v[6], x.v[7]);
    *reinterpret_cast<uint4*>(p) = raw;
  } else {
#pragma unroll
    for (int i = 0; i < N; ++i) store(p + i, x.v[i]);
  }
}

// Number of elements of T in 16 bytes.
template <class T>
inline constexpr int kPerVector = 16 / static_cast<int>(sizeof(T));

// Whether rows of `width` elements of T may be read as vectors: they start at 16-byte boundaries and consist of whole
// vectors. Wider tensors used with them (f32 with a T of bf16) are then aligned too.
template <class T, class... Pointers>
bool in_vectors(int64_t width, const Pointers*... pointers) {
  return width % kPerVector<T> == 0 && ((reinterpret_cast<uintptr_t>(pointers) % 16 == 0) && ...);
}

// Calls body(N), a constant: the number of neighbours of a row of `width` that a lane processes at once, for any
// mixture of types. N is 8, which fills a multiple of 16 bytes in every type, where width and pointers allow it, else
// 1.
template <class Body, class... Pointers>
void for_width(int64_t width, Body body, const Pointers*... pointers) {
  if (in_vectors<BFloat16>(width, pointers...)) return body(std::integral_constant<int, 8>{});
  body(std::integral_constant<int, 1>{});
}

// Calls body(T{}) for the storage type of a device tensor, f32 or bf16.
template <class Body>
void for_type(DType dtype, Body body) {
  if (dtype == DType::f32) return body(float{});
  if (dtype == DType::bf16) return body(BFloat16{});
  raise<InternalError>("no CUDA implementation for {}", name_of(dtype));
}

}  // namespace moe::cuda
