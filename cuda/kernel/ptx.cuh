// All PTX of the portable kernels. Each function is one instruction, named as PTX names it. The emulator restates each
// by its documented data flow (tests/emulator/include/cuda/kernel/ptx.cuh).
#pragma once
#include <cuda_runtime.h>

#include <cstdint>

namespace moe::cuda {

// The block's dynamic shared memory as one T.
template <class T>
__device__ inline T& shared_memory() {
  extern __shared__ __align__(1024) unsigned char moe_shared_memory[];
  return *reinterpret_cast<T*>(moe_shared_memory);
}

__device__ inline uint32_t shared_address(const void* pointer) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(pointer));
}

// D (16, 8) f32 += A (16, 16) bf16 B (16, 8) bf16. With g = lane / 4 and c = 2 (lane % 4), pairs in one register:
// a = {A[g][c..], A[g+8][c..], A[g][c+8..], A[g+8][c+8..]}, b = {B[c..][g], B[c+8..][g]},
// d = {D[g][c], D[g][c+1], D[g+8][c], D[g+8][c+1]}.
__device__ inline void mma_m16n8k16_bf16(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// Loads four 8 x 8 matrices of 16-bit elements. Lane i gives the address of row i % 8 of matrix i / 8, at a 16-byte
// boundary. From each matrix it receives the pair at row i / 4, columns 2 (i % 4).. (trans: from its transpose).
__device__ inline void ldmatrix_x4(uint32_t (&r)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(row))
               : "memory");
}
__device__ inline void ldmatrix_x4_trans(uint32_t (&r)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(row))
               : "memory");
}

// Copies 16 bytes from global to shared memory asynchronously; writes zeros when not `valid` (the source is not read).
__device__ inline void cp_async_cg_16(void* shared, const void* global, bool valid) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(shared)), "l"(global),
               "r"(valid ? 16 : 0)
               : "memory");
}
__device__ inline void cp_async_commit_group() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}
// Waits until at most kPending of the calling thread's groups are not yet complete.
template <int kPending>
__device__ inline void cp_async_wait_group() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

// Converts two f32 to a pair of bf16, rounded to nearest even; `low` goes to the lower half.
__device__ inline uint32_t cvt_rn_bf16x2(float low, float high) {
  uint32_t pair;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
}

// 2^x with an error of up to 2 ulp
__device__ inline float ex2_approx(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
// tanh(x) with a relative error of up to 2^-11
__device__ inline float tanh_approx(float x) {
  float y;
  asm("tanh.approx.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
// 1 / x with an error of up to 1 ulp; 0 where that is below 2^-126
__device__ inline float rcp_approx(float x) {
  float y;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

}  // namespace moe::cuda
