// Needs more registers than its launch bounds allow. Shows that the build detects spills: see MOE_PTXAS_CHECKS in
// CMakeLists.txt.
__global__ void __launch_bounds__(1024, 2) spilling_kernel(float* x) {
  float v[64];
#pragma unroll
  for (int i = 0; i < 64; ++i) v[i] = x[i * 1024 + threadIdx.x];
  __syncthreads();
#pragma unroll
  for (int i = 0; i < 64; ++i) x[i * 1024 + 1023 - threadIdx.x] = v[i] * v[(i * 7 + 3) % 64];
}
