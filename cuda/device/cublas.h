// Dense matrix products by cuBLAS.
#pragma once
#include <cuda_runtime.h>

#include <cstdint>
#include <memory>

#include "core/tensor/dtype.h"

namespace moe::cuda {

class Blas;  // a handle with its workspace
std::shared_ptr<Blas> make_blas(cudaStream_t stream);

// C (m, n) = op(A) op(B) [+ C], row-major, accumulated in f32. A and B have the same type, f32 or bf16; C has that type
// or f32. A leading dimension is the distance between two stored rows.
struct BlasProduct {
  const void* a;
  int64_t lda;
  bool transpose_a;
  const void* b;
  int64_t ldb;
  bool transpose_b;
  void* c;
  int64_t ldc;
  int64_t m, n, k;
  DType type, type_c;
  bool accumulate;
};
void multiply(Blas& blas, const BlasProduct& product);

}  // namespace moe::cuda
