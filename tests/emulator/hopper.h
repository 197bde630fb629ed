// The data flow of Hopper's instructions as the PTX ISA documents it: mbarrier, the bulk copies of TMA, wgmma. Called
// by the emulator's cuda/kernel/ptx_sm90.cuh.
//
// Copies and products are done later than they are issued (emulator::later, Thread::products). Code that does not wait
// for them reads the previous values: NaN in fresh shared memory.
#pragma once
#include <cstdint>

#include "cuda/device/tensor_map.h"
#include "tests/emulator/emulator.h"

namespace emulator {

// ---- mbarrier: counts arrivals and bytes of a phase; its phases are 0, 1, 0, ... -----------------------------------
void mbarrier_init(uint64_t* barrier, uint32_t arrivals);
void mbarrier_arrive(uint64_t* barrier, uint32_t expected_bytes);
// Whether the phase with this parity is complete.
bool mbarrier_test(const uint64_t* barrier, uint32_t parity);
void mbarrier_wait(const uint64_t* barrier, uint32_t parity);

// ---- TMA -----------------------------------------------------------------------------------------------------------
// The emulator's content of a TensorMap.
struct TensorMapContent {
  char* base;
  uint64_t magic;
  int32_t rank, unused;
  uint64_t extent[5], stride_bytes[5];
  int32_t box[5];
};
static_assert(sizeof(TensorMapContent) <= sizeof(moe::cuda::TensorMap));

// Copies the box at `coordinates` to or from shared memory, where rows of 128 bytes are contiguous with their 16-byte
// pieces swizzled. Elements outside the tensor are read as zeros and not written.
void tensor_load(void* shared, const moe::cuda::TensorMap& map, const int32_t* coordinates, int rank,
                 uint64_t* barrier);
void tensor_store(const moe::cuda::TensorMap& map, const int32_t* coordinates, int rank, const void* shared);
void bulk_load(void* shared, const void* global, uint32_t bytes, uint64_t* barrier);

// ---- wgmma ---------------------------------------------------------------------------------------------------------
struct Product {
  float* d;    // n / 2 accumulators of this thread
  int n;       // columns of D
  uint64_t a;  // descriptors
  uint64_t b;
  const uint32_t* a_registers;  // instead of `a`, or null
  bool a_columns, b_columns;    // layouts (k, m) and (k, n): "transposed", MN-major
  bool accumulate;
};
// D (64, n) (+)= A (64, 16) B (16, n), by the 128 threads of a warpgroup; done when its group is waited for.
void multiply(const Product& product);
void wgmma_fence();

}  // namespace emulator
