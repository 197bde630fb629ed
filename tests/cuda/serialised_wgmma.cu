// A kernel in which scripts/check_kernels must find a fault: an accumulator is read between the products of a group, so
// ptxas waits after each product.
#include "cuda/kernel/wgmma_tile.cuh"

using namespace moe::cuda;

__global__ void serialised_wgmma_kernel(float* out) {
  auto& shared = shared_memory<moe::BFloat16[2][64 * 64]>();
  float c[8][4] = {};
  wgmma_fence();
  warpgroup_multiply<Operand::rows, Operand::rows, 64, 64, 64>(c, shared[0], shared[1], true);
  out[threadIdx.x] = c[0][0];
  warpgroup_multiply<Operand::rows, Operand::rows, 64, 64, 64>(c, shared[0], shared[1], true);
  wgmma_commit_group();
  wgmma_wait_group<0>();
  out[threadIdx.x + 128] = c[1][0];
}
