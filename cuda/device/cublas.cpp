#include "cuda/device/cublas.h"

#include <cublas_v2.h>

#include "core/base/check.h"
#include "cuda/device/check.h"

#define CUBLAS_CHECK(call) ::moe::cuda::check_cublas((call), #call)

namespace moe::cuda {

static void check_cublas(cublasStatus_t status, const char* call) {
  if (status != CUBLAS_STATUS_SUCCESS) {
    raise<DeviceError>("cuBLAS: {} failed: {}", call, cublasGetStatusString(status));
  }
}

// A workspace of our own on one stream makes cuBLAS' results the same from run to run (its manual, 2.1.4).
static constexpr size_t kWorkspaceBytes = size_t{32} << 20;

class Blas {
 public:
  explicit Blas(cudaStream_t stream) {
    CUBLAS_CHECK(cublasCreate(&handle_));
    CUBLAS_CHECK(cublasSetStream(handle_, stream));
    CUDA_CHECK(cudaMalloc(&workspace_, kWorkspaceBytes));
    CUBLAS_CHECK(cublasSetWorkspace(handle_, workspace_, kWorkspaceBytes));
  }
  ~Blas() {
    if (handle_) cublasDestroy(handle_);
    if (workspace_) cudaFree(workspace_);
  }
  Blas(const Blas&) = delete;
  cublasHandle_t get() const { return handle_; }

 private:
  cublasHandle_t handle_ = nullptr;
  void* workspace_ = nullptr;
};

std::shared_ptr<Blas> make_blas(cudaStream_t stream) {
  return std::make_shared<Blas>(stream);
}

static cudaDataType_t type_of(DType dtype) {
  return dtype == DType::bf16 ? CUDA_R_16BF : CUDA_R_32F;
}

void multiply(Blas& blas, const BlasProduct& p) {
  if (p.m == 0 || p.n == 0) return;
  const float one = 1, beta = p.accumulate ? 1 : 0;
  // cuBLAS' matrices are column-major: a row-major C is its transpose there, C^T = op(B)^T op(A)^T.
  CUBLAS_CHECK(cublasGemmEx(blas.get(), p.transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N,
                            p.transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N, static_cast<int>(p.n), static_cast<int>(p.m),
                            static_cast<int>(p.k), &one, p.b, type_of(p.type), static_cast<int>(p.ldb), p.a,
                            type_of(p.type), static_cast<int>(p.lda), &beta, p.c, type_of(p.type_c),
                            static_cast<int>(p.ldc), CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT));
}

}  // namespace moe::cuda
