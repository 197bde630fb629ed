// The PTX instructions of cuda/kernel/ptx.cuh, restated by their documented data flow (PTX ISA, "Matrix fragments for
// mma.m16n8k16", "ldmatrix", "cp.async").
#pragma once
#include <cuda_runtime.h>
#include <cmath>
#include <cstring>

#include "core/tensor/bfloat16.h"

namespace moe::cuda {

template <class T>
T& shared_memory() {
  return *static_cast<T*>(emulator::shared_memory(sizeof(T)));
}

// As in a descriptor: relative to the start of the block's shared memory.
inline uint32_t shared_address(const void* pointer) {
  return static_cast<uint32_t>(emulator::shared_offset(pointer, 0));
}

inline void mma_m16n8k16_bf16(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  emulator::multiply_matrices(d, a, b0, b1);
}

inline void ldmatrix_x4(uint32_t (&r)[4], const void* row) {
  emulator::load_matrices(r, row, false);
}
inline void ldmatrix_x4_trans(uint32_t (&r)[4], const void* row) {
  emulator::load_matrices(r, row, true);
}

// Copies are done when they are waited for, not before.
inline void cp_async_cg_16(void* shared, const void* global, bool valid) {
  emulator::copy_async(shared, valid ? global : nullptr);
}
inline void cp_async_commit_group() {
  emulator::commit_copies();
}
template <int kPending>
void cp_async_wait_group() {
  emulator::wait_for_copies(kPending);
}

inline uint32_t cvt_rn_bf16x2(float low, float high) {
  return uint32_t{to_bfloat16(low).bits} | uint32_t{to_bfloat16(high).bits} << 16;
}
inline float ex2_approx(float x) {
  return std::exp2(x);
}
// As wrong as the hardware may be: rounded to 11 bits.
inline float tanh_approx(float x) {
  uint32_t bits = 0;
  const float exact = std::tanh(x);
  std::memcpy(&bits, &exact, sizeof bits);
  bits = (bits + 0x0FFF + (bits >> 13 & 1)) & ~uint32_t{0x1FFF};
  float rounded = 0;
  std::memcpy(&rounded, &bits, sizeof bits);
  return rounded;
}
inline float rcp_approx(float x) {
  return 1 / x;
}

}  // namespace moe::cuda
