// Grouped products whose GELU has a division, which is a call for each element: scripts/check_kernels must find it.
#include "cuda/kernel/ptx.cuh"
#define tanh_approx(x) (2.0f / (1.0f + expf(-2.0f * (x))) - 1.0f)
#include "cuda/ops/grouped_gemm_sm90.cu"
