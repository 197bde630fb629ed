// Attention without the store that keeps its exponentials before the wait for P V: scripts/check_kernels must find it.
#include "cuda/kernel/ptx_sm90.cuh"
#define st_shared(address, value) (void)(value)
#include "cuda/ops/attention_forward_sm90.cu"
