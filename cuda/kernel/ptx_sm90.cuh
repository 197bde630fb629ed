// PTX of sm_90a: mbarrier, TMA, wgmma, register budgets. Each function is one instruction, named as PTX names it. Only
// *_sm90.cu, which are compiled for sm_90a alone, include this file. The emulator restates each function by its
// documented data flow (tests/emulator/include/cuda/kernel/ptx_sm90.cuh).
#pragma once
#include "cuda/device/tensor_map.h"
#include "cuda/kernel/ptx.cuh"

#if defined(__CUDA_ARCH__) && !defined(__CUDA_ARCH_FEAT_SM90_ALL)
#error "these instructions exist on sm_90a only: see MOE_CUDA_SM90 in CMakeLists.txt"
#endif

namespace moe::cuda {

// ---- mbarrier: counts arrivals and bytes; its phases are 0, 1, 0, ..., and a waiter gives the phase it waits for ----

__device__ inline void mbarrier_init(uint64_t& barrier, uint32_t arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(&barrier)), "r"(arrivals) : "memory");
}
// Makes the initialised barriers visible to the copy engine (TMA).
__device__ inline void fence_mbarrier_init() {
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}
__device__ inline void mbarrier_arrive(uint64_t& barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(&barrier)) : "memory");
}
// Arrives, and adds `bytes` that copies will transfer to what the phase waits for.
__device__ inline void mbarrier_arrive_expect_tx(uint64_t& barrier, uint32_t bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(&barrier)), "r"(bytes)
               : "memory");
}
// Returns whether the phase of this parity is complete; may suspend the thread for a while before it returns false.
__device__ inline bool mbarrier_try_wait_parity(uint64_t& barrier, uint32_t parity) {
  uint32_t over;
  asm volatile(
      "{\n.reg .pred p;\n"
      "mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\n"
      "selp.u32 %0, 1, 0, p;\n}"
      : "=r"(over)
      : "r"(shared_address(&barrier)), "r"(parity)
      : "memory");
  return over != 0;
}

// Makes preceding ordinary writes to shared memory visible to later copies and wgmma, when a barrier comes between.
__device__ inline void fence_proxy_async() {
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

// bar.sync: one of the block's barriers 1 to 15 (0 is __syncthreads), among `threads` threads.
__device__ inline void barrier_sync(int id, int threads) {
  asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

// ---- asynchronous copies, issued by one thread ----------------------------------------------------------------------

__device__ inline void prefetch_tensormap(const TensorMap& map) {
  asm volatile("prefetch.tensormap [%0];" ::"l"(&map) : "memory");
}
// Copies the box at these coordinates, innermost first, to shared memory at a multiple of 1024 bytes. All its bytes are
// counted at `barrier`, including those of elements outside the tensor, which become zero.
__device__ inline void tma_load_2d(void* shared, const TensorMap& map, uint64_t& barrier, int x0, int x1) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4}], [%2];" ::"r"(
          shared_address(shared)),
      "l"(&map), "r"(shared_address(&barrier)), "r"(x0), "r"(x1)
      : "memory");
}
__device__ inline void tma_load_3d(void* shared, const TensorMap& map, uint64_t& barrier, int x0, int x1, int x2) {
  asm volatile(
      "cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %5}], [%2];" ::
          "r"(shared_address(shared)),
      "l"(&map), "r"(shared_address(&barrier)), "r"(x0), "r"(x1), "r"(x2)
      : "memory");
}
__device__ inline void tma_load_4d(void* shared, const TensorMap& map, uint64_t& barrier, int x0, int x1, int x2,
                                   int x3) {
  asm volatile(
      "cp.async.bulk.tensor.4d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %5, %6}], "
      "[%2];" ::"r"(shared_address(shared)),
      "l"(&map), "r"(shared_address(&barrier)), "r"(x0), "r"(x1), "r"(x2), "r"(x3)
      : "memory");
}
// Copies `bytes` contiguous bytes; size and both addresses are multiples of 16.
__device__ inline void bulk_load(void* shared, const void* global, uint32_t bytes, uint64_t& barrier) {
  asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(
                   shared_address(shared)),
               "l"(global), "r"(bytes), "r"(shared_address(&barrier))
               : "memory");
}
// Copies from shared to global memory; elements outside the tensor are not written.
__device__ inline void tma_store_4d(const TensorMap& map, const void* shared, int x0, int x1, int x2, int x3) {
  asm volatile("cp.async.bulk.tensor.4d.global.shared::cta.bulk_group [%0, {%2, %3, %4, %5}], [%1];" ::"l"(&map),
               "r"(shared_address(shared)), "r"(x0), "r"(x1), "r"(x2), "r"(x3)
               : "memory");
}
__device__ inline void bulk_commit_group() {
  asm volatile("cp.async.bulk.commit_group;" ::: "memory");
}
// Waits until at most kPending of the calling thread's groups of stores still have to read shared memory.
template <int kPending>
__device__ inline void bulk_wait_group_read() {
  asm volatile("cp.async.bulk.wait_group.read %0;" ::"n"(kPending) : "memory");
}

// ---- registers -----------------------------------------------------------------------------------------------------

// Executed by all warps of a warpgroup: sets the registers per thread from here on, a multiple of 8.
template <int kRegisters>
__device__ inline void setmaxnreg_inc() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kRegisters));
}
template <int kRegisters>
__device__ inline void setmaxnreg_dec() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kRegisters));
}

__device__ inline void st_shared(float* shared, float value) {
  asm volatile("st.shared.f32 [%0], %1;" ::"r"(shared_address(shared)), "f"(value) : "memory");
}

// ---- wgmma: executed by the four warps of a warpgroup together, asynchronous ----------------------------------------

// Required before the first product of a group, and after writes to registers that it uses.
__device__ inline void wgmma_fence() {
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}
__device__ inline void wgmma_commit_group() {
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
template <int kPending>
__device__ inline void wgmma_wait_group() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kPending) : "memory");
}
// Keeps the compiler from moving accesses to accumulators across this point.
template <int kN>
__device__ inline void keep_registers(float (&d)[kN][4]) {
#pragma unroll
  for (int j = 0; j < kN; ++j) {
#pragma unroll
    for (int e = 0; e < 4; ++e) asm volatile("" : "+f"(d[j][e])::"memory");
  }
}
template <int kN>
__device__ inline void keep_registers(uint32_t (&a)[kN][4]) {
#pragma unroll
  for (int j = 0; j < kN; ++j) {
#pragma unroll
    for (int e = 0; e < 4; ++e) asm volatile("" : "+r"(a[j][e])::"memory");
  }
}

// D (64, 8 kN) f32 (+)= A (64, 16) B (16, 8 kN) in bf16. Warp w of the warpgroup holds rows 16 w.. of D, each 16 x 8
// block of them as in mma_m16n8k16_bf16. Operands in shared memory are given by descriptors (kernel/wgmma_tile.cuh).
// kColumns: their layout is (k, m) and (k, n) (MN-major), otherwise (m, k) and (n, k). A in registers has the layout of
// mma_m16n8k16_bf16. `accumulate` false: D is overwritten.

#define MOE_D_8(d, j) "+f"(d[j][0]), "+f"(d[j][1]), "+f"(d[j][2]), "+f"(d[j][3])
#define MOE_D_32(d, j) MOE_D_8(d, j), MOE_D_8(d, j + 1), MOE_D_8(d, j + 2), MOE_D_8(d, j + 3)
#define MOE_D_64(d, j) MOE_D_32(d, j), MOE_D_32(d, j + 4)
#define MOE_D_128(d, j) MOE_D_64(d, j), MOE_D_64(d, j + 8)
#define MOE_D_256(d, j) MOE_D_128(d, j), MOE_D_128(d, j + 16)
#define MOE_REGISTERS_64                                                 \
  "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15" \
  ", %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define MOE_REGISTERS_128                                                            \
  MOE_REGISTERS_64                                                                   \
  ", %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47" \
  ", %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define MOE_REGISTERS_256                                                                        \
  MOE_REGISTERS_128                                                                              \
  ", %64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79"             \
  ", %80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95"             \
  ", %96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111" \
  ", %112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127"

template <bool kColumnsA, bool kColumnsB, int kN>
__device__ inline void wgmma_bf16(float (&d)[kN][4], uint64_t a, uint64_t b, bool accumulate) {
  static_assert(kN == 8 || kN == 16 || kN == 32);
  if constexpr (kN == 8) {
    asm volatile(
        "{\n.reg .pred p;\nsetp.ne.b32 p, %34, 0;\n"
        "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 {" MOE_REGISTERS_64
        "}, %32, %33, p, 1, 1, %35, "
        "%36;\n}"
        : MOE_D_64(d, 0)
        : "l"(a), "l"(b), "r"(static_cast<int>(accumulate)), "n"(kColumnsA), "n"(kColumnsB));
  } else if constexpr (kN == 16) {
    asm volatile(
        "{\n.reg .pred p;\nsetp.ne.b32 p, %66, 0;\n"
        "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 {" MOE_REGISTERS_128
        "}, %64, %65, p, 1, 1, %67, "
        "%68;\n}"
        : MOE_D_128(d, 0)
        : "l"(a), "l"(b), "r"(static_cast<int>(accumulate)), "n"(kColumnsA), "n"(kColumnsB));
  } else if constexpr (kN == 32) {
    asm volatile(
        "{\n.reg .pred p;\nsetp.ne.b32 p, %130, 0;\n"
        "wgmma.mma_async.sync.aligned.m64n256k16.f32.bf16.bf16 {" MOE_REGISTERS_256
        "}, %128, %129, p, 1, 1, %131, "
        "%132;\n}"
        : MOE_D_256(d, 0)
        : "l"(a), "l"(b), "r"(static_cast<int>(accumulate)), "n"(kColumnsA), "n"(kColumnsB));
  }
}
template <bool kColumnsB, int kN>
__device__ inline void wgmma_bf16(float (&d)[kN][4], const uint32_t (&a)[4], uint64_t b, bool accumulate) {
  static_assert(kN == 8 || kN == 16);
  if constexpr (kN == 8) {
    asm volatile(
        "{\n.reg .pred p;\nsetp.ne.b32 p, %37, 0;\n"
        "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 {" MOE_REGISTERS_64
        "}, {%32, %33, %34, %35}, "
        "%36, p, 1, 1, %38;\n}"
        : MOE_D_64(d, 0)
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(static_cast<int>(accumulate)), "n"(kColumnsB));
  } else if constexpr (kN == 16) {
    asm volatile(
        "{\n.reg .pred p;\nsetp.ne.b32 p, %69, 0;\n"
        "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 {" MOE_REGISTERS_128
        "}, {%64, %65, %66, %67}, "
        "%68, p, 1, 1, %70;\n}"
        : MOE_D_128(d, 0)
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(static_cast<int>(accumulate)), "n"(kColumnsB));
  }
}
#undef MOE_D_8
#undef MOE_D_32
#undef MOE_D_64
#undef MOE_D_128
#undef MOE_D_256
#undef MOE_REGISTERS_64
#undef MOE_REGISTERS_128
#undef MOE_REGISTERS_256

}  // namespace moe::cuda
