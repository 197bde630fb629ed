// Products of tiles in shared memory by one warp, accumulated in its registers. bf16 uses mma.sync. f32, which tensor
// cores would round to tf32, uses ordinary arithmetic with the same distribution of C over the lanes, so that kernels
// are written once.
//
// An accumulator float c[i][j][4] holds these elements of the 16 x 8 block (i, j), with g = lane / 4 and q = 2 (lane %
// 4):
// C[g][q], C[g][q + 1], C[g + 8][q], C[g + 8][q + 1].
#pragma once
#include "cuda/kernel/vector.cuh"
#include "cuda/kernel/warp.cuh"

namespace moe::cuda {

__device__ inline int accumulator_row(int lane, int element) {
  return lane / 4 + 8 * (element / 2);
}
__device__ inline int accumulator_column(int lane, int element) {
  return 2 * (lane % 4) + element % 2;
}

// The layout of an operand in its tile. `rows`: A is (m, k), B is (n, k), neighbours along k. `columns`: A is (k, m), B
// is (k, n).
enum class Operand { rows, columns };

// Loads the registers of A's 16 x 16 block at (0, 0) of `a`.
template <Operand kLayout, int kStride>
__device__ inline void load_a(uint32_t (&fragment)[4], const BFloat16* a) {
  const int lane = lane_index();
  if constexpr (kLayout == Operand::rows) {
    ldmatrix_x4(fragment, a + (lane % 16) * kStride + lane / 16 * 8);
  } else {
    ldmatrix_x4_trans(fragment, a + (lane % 8 + lane / 16 * 8) * kStride + lane / 8 % 2 * 8);
  }
}

// Loads the registers of B's two 16 x 8 blocks at columns 0 and 8: fragment[0], [1] and fragment[2], [3].
template <Operand kLayout, int kStride>
__device__ inline void load_b(uint32_t (&fragment)[4], const BFloat16* b) {
  const int lane = lane_index();
  if constexpr (kLayout == Operand::rows) {
    ldmatrix_x4(fragment, b + (lane % 8 + lane / 16 * 8) * kStride + lane / 8 % 2 * 8);
  } else {
    ldmatrix_x4_trans(fragment, b + (lane % 8 + lane / 8 % 2 * 8) * kStride + lane / 16 * 8);
  }
}

// c (16 kM, 8 kN) += A (16 kM, kDepth) B (kDepth, 8 kN)
template <Operand kLayoutA, Operand kLayoutB, int kDepth, int kStrideA, int kStrideB, int kM, int kN>
__device__ inline void warp_multiply(float (&c)[kM][kN][4], const BFloat16* a, const BFloat16* b) {
#pragma unroll
  for (int k = 0; k < kDepth; k += 16) {
    uint32_t left[kM][4];
#pragma unroll
    for (int i = 0; i < kM; ++i) {
      load_a<kLayoutA, kStrideA>(left[i],
                                 a + (kLayoutA == Operand::rows ? 16 * i * kStrideA + k : k * kStrideA + 16 * i));
    }
#pragma unroll
    for (int j = 0; j < kN / 2; ++j) {
      uint32_t right[4];
      load_b<kLayoutB, kStrideB>(right,
                                 b + (kLayoutB == Operand::rows ? 16 * j * kStrideB + k : k * kStrideB + 16 * j));
#pragma unroll
      for (int i = 0; i < kM; ++i) {
        mma_m16n8k16_bf16(c[i][2 * j], left[i], right[0], right[1]);
        mma_m16n8k16_bf16(c[i][2 * j + 1], left[i], right[2], right[3]);
      }
    }
  }
}

template <Operand kLayoutA, Operand kLayoutB, int kDepth, int kStrideA, int kStrideB, int kM, int kN>
__device__ inline void warp_multiply(float (&c)[kM][kN][4], const float* a, const float* b) {
  const int lane = lane_index();
  constexpr int kRowA = kLayoutA == Operand::rows ? kStrideA : 1, kStepA = kLayoutA == Operand::rows ? 1 : kStrideA;
  constexpr int kColumnB = kLayoutB == Operand::rows ? kStrideB : 1, kStepB = kLayoutB == Operand::rows ? 1 : kStrideB;
  a += lane / 4 * kRowA;
  b += 2 * (lane % 4) * kColumnB;
#pragma unroll 2
  for (int k = 0; k < kDepth; ++k) {
    float left[kM][2];
#pragma unroll
    for (int i = 0; i < kM; ++i) {
      left[i][0] = a[16 * i * kRowA + k * kStepA];
      left[i][1] = a[(16 * i + 8) * kRowA + k * kStepA];
    }
#pragma unroll
    for (int j = 0; j < kN; ++j) {
      const float right[2] = {b[8 * j * kColumnB + k * kStepB], b[(8 * j + 1) * kColumnB + k * kStepB]};
#pragma unroll
      for (int i = 0; i < kM; ++i) {
#pragma unroll
        for (int e = 0; e < 4; ++e) c[i][j][e] += left[i][e / 2] * right[e % 2];
      }
    }
  }
}

// Floats of staging memory that warp_multiply_accumulator needs per warp: an even number, so that the next warp's
// starts at a pair. bf16 needs none, but an array must not be empty.
template <class T>
constexpr int staging_floats(int depth) {
  return sizeof(T) == 4 ? 16 * (depth + 4) : 2;
}

// c (16, 8 kN) += P (16, 8 kP) B (8 kP, 8 kN), where P is an accumulator of this warp and B has the layout (k, n).
// bf16: P is rounded to bf16 in registers. f32: P goes through `staging`, which belongs to this warp.
template <int kStrideB, int kN, int kP>
__device__ inline void warp_multiply_accumulator(float (&c)[kN][4], const float (&p)[kP][4], const BFloat16* b,
                                                 float*) {
#pragma unroll
  for (int k = 0; k < kP / 2; ++k) {
    const uint32_t left[4] = {cvt_rn_bf16x2(p[2 * k][0], p[2 * k][1]), cvt_rn_bf16x2(p[2 * k][2], p[2 * k][3]),
                              cvt_rn_bf16x2(p[2 * k + 1][0], p[2 * k + 1][1]),
                              cvt_rn_bf16x2(p[2 * k + 1][2], p[2 * k + 1][3])};
#pragma unroll
    for (int j = 0; j < kN / 2; ++j) {
      uint32_t right[4];
      load_b<Operand::columns, kStrideB>(right, b + 16 * k * kStrideB + 16 * j);
      mma_m16n8k16_bf16(c[2 * j], left, right[0], right[1]);
      mma_m16n8k16_bf16(c[2 * j + 1], left, right[2], right[3]);
    }
  }
}

template <int kStrideB, int kN, int kP>
__device__ inline void warp_multiply_accumulator(float (&c)[kN][4], const float (&p)[kP][4], const float* b,
                                                 float* staging) {
  constexpr int kStride = 8 * kP + 4;
  const int lane = lane_index();
#pragma unroll
  for (int j = 0; j < kP; ++j) {
    store_pair(staging + accumulator_row(lane, 0) * kStride + 8 * j + accumulator_column(lane, 0), p[j][0], p[j][1]);
    store_pair(staging + accumulator_row(lane, 2) * kStride + 8 * j + accumulator_column(lane, 2), p[j][2], p[j][3]);
  }
  __syncwarp();
  float(&whole)[1][kN][4] = reinterpret_cast<float(&)[1][kN][4]>(c);
  warp_multiply<Operand::rows, Operand::columns, 8 * kP, kStride, kStrideB>(whole, staging, b);
  __syncwarp();
}

}  // namespace moe::cuda
