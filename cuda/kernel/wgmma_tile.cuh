// Products of tiles in shared memory by a warpgroup (wgmma). The tiles have the copy engine's layout: chunks of 64
// columns, whose rows of 128 bytes are contiguous, with the 16-byte pieces of a row permuted by the row's index
// (128-byte swizzle). Chunks start at multiples of 1024 bytes; neighbouring chunks of R rows are 64 R elements apart.
//
// Accumulators are those of kernel/mma_tile.cuh: c[j] is the 16 x 8 block of this warp's 16 rows and columns 8 j...
#pragma once
#include "cuda/kernel/mma_tile.cuh"
#include "cuda/kernel/ptx_sm90.cuh"

namespace moe::cuda {

inline constexpr int kChunk = 64;               // columns of a chunk
inline constexpr int kChunkBlock = 8 * kChunk;  // elements after which the permutation repeats: 1024 bytes
inline constexpr int kWarpgroup = 128;

// `leading`, `stride`: elements between neighbouring chunks and between neighbouring blocks of 8 rows. (Where the depth
// is along the rows, a step stays in its chunk and `leading` is not used.)
__device__ inline uint64_t matrix_descriptor(const BFloat16* start, int leading, int stride) {
  const auto sixteenths = [](uint32_t bytes) { return static_cast<uint64_t>(bytes >> 4 & 0x3FFF); };
  return sixteenths(shared_address(start)) | sixteenths(static_cast<uint32_t>(2 * leading)) << 16 |
         sixteenths(static_cast<uint32_t>(2 * stride)) << 32 | uint64_t{1} << 62;
}

// The descriptor of an operand's 16 steps of depth from `k` on, in chunks of kRows rows.
template <Operand kLayout, int kRows>
__device__ inline uint64_t descriptor_at(const BFloat16* operand, int k) {
  if constexpr (kLayout == Operand::rows) {
    return matrix_descriptor(operand + k / kChunk * kRows * kChunk + k % kChunk, 0, kChunkBlock);
  } else {
    return matrix_descriptor(operand + k * kChunk, kRows * kChunk, kChunkBlock);
  }
}

// c (64, 8 kN) (+)= A (64, kDepth) B (kDepth, 8 kN), asynchronously: called between wgmma_fence and wgmma_commit_group.
// kRowsA, kRowsB: rows of the operands' chunks. `accumulate` false: c is overwritten.
template <Operand kLayoutA, Operand kLayoutB, int kDepth, int kRowsA, int kRowsB, int kN>
__device__ inline void warpgroup_multiply(float (&c)[kN][4], const BFloat16* a, const BFloat16* b, bool accumulate) {
#pragma unroll
  for (int k = 0; k < kDepth; k += 16) {
    wgmma_bf16<kLayoutA == Operand::columns, kLayoutB == Operand::columns>(
        c, descriptor_at<kLayoutA, kRowsA>(a, k), descriptor_at<kLayoutB, kRowsB>(b, k), accumulate || k > 0);
  }
}

// The same with A in registers: a[i] holds A for the steps 16 i..
template <Operand kLayoutB, int kRowsB, int kSteps, int kN>
__device__ inline void warpgroup_multiply(float (&c)[kN][4], const uint32_t (&a)[kSteps][4], const BFloat16* b,
                                          bool accumulate) {
#pragma unroll
  for (int i = 0; i < kSteps; ++i) {
    wgmma_bf16<kLayoutB == Operand::columns>(c, a[i], descriptor_at<kLayoutB, kRowsB>(b, 16 * i), accumulate || i > 0);
  }
}

// Converts an accumulator, rounded to bf16, to the left operand of a product over its columns.
template <int kN>
__device__ inline void to_operand(uint32_t (&a)[kN / 2][4], const float (&c)[kN][4]) {
#pragma unroll
  for (int i = 0; i < kN / 2; ++i) {
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      const float(&block)[4] = c[2 * i + e / 2];
      a[i][e] = cvt_rn_bf16x2(block[2 * (e % 2)], block[2 * (e % 2) + 1]);
    }
  }
}

// The offset in a chunk of the 16-byte piece at `row` and `column` (a multiple of 8).
__device__ inline int swizzled_piece(int row, int column) {
  return row * kChunk + ((column / 8) ^ (row % 8)) * 8;
}

// ---- a ring of stages between one copying warp (producer) and computing warps (consumers) ---------------------------

// Returns when the phase of this parity is complete.
__device__ inline void mbarrier_wait_parity(uint64_t& barrier, uint32_t parity) {
  while (!mbarrier_try_wait_parity(barrier, parity)) {
  }
}

// The next stage, and how often the ring has wrapped around. Producer and consumers walk over the same sequence of
// stages.
template <int kStages>
struct RingPlace {
  int stage = 0;
  uint32_t round = 0;  // only its parity matters
  __device__ void advance() {
    if (++stage == kStages) stage = 0, round ^= 1;
  }
};

// full[i]: the copies into stage i are complete. empty[i]: all readers have read it.
template <int kStages>
struct Ring {
  uint64_t full[kStages], empty[kStages];

  __device__ void initialise(uint32_t readers) {  // by one thread
    for (int i = 0; i < kStages; ++i) {
      mbarrier_init(full[i], 1);
      mbarrier_init(empty[i], readers);
    }
  }
  // Called by the producer: waits until the stage has been read in the previous round, and announces the number of
  // bytes that it will copy.
  __device__ uint64_t& fill(const RingPlace<kStages>& place, uint32_t bytes) {
    mbarrier_wait_parity(empty[place.stage], place.round ^ 1);
    mbarrier_arrive_expect_tx(full[place.stage], bytes);
    return full[place.stage];
  }
  // Called by a reader before it reads the stage.
  __device__ void wait(const RingPlace<kStages>& place) { mbarrier_wait_parity(full[place.stage], place.round); }
  // Called once per reader after it has read the stage.
  __device__ void release(const RingPlace<kStages>& place) { mbarrier_arrive(empty[place.stage]); }
};

}  // namespace moe::cuda
