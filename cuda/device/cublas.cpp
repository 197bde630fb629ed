#include "cuda/device/cublas.h"

#include <cublas_v2.h>
#include <dlfcn.h>

#include <string>

#include "core/base/check.h"
#include "cuda/device/check.h"

#define CUBLAS_CHECK(call) check_cublas((call), #call)

namespace moe::cuda {
namespace {

// Linking cuBLAS costs 150 MB of memory and a tenth of a second, even for programs that run on the CPU. So it is loaded
// when a GPU is used.
class Library {
 public:
  static const Library& get() {
    static const Library library;
    return library;
  }

  decltype(&cublasCreate) create;
  decltype(&cublasDestroy) destroy;
  decltype(&cublasSetStream) set_stream;
  decltype(&cublasSetWorkspace) set_workspace;
  decltype(&cublasGemmEx_64) gemm;
  decltype(&cublasGetStatusString) status_string;

 private:
  Library() {
    const std::string name = "libcublas.so." + std::to_string(CUBLAS_VER_MAJOR);
    void* library = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!library) library = dlopen(MOE_CUBLAS_LIBRARY, RTLD_NOW | RTLD_LOCAL);  // the path that the build found
    if (!library)
      raise<DeviceError>(
          "cannot load cuBLAS: {}; install cuBLAS of CUDA {} (the toolkit or PyTorch's packages have it) and name its "
          "folder in LD_LIBRARY_PATH",
          dlerror(), CUBLAS_VER_MAJOR);
    const auto find = [&]<class Function>(Function& function, const char* symbol) {
      function = reinterpret_cast<Function>(dlsym(library, symbol));
      if (!function) raise<DeviceError>("{} has no {}", name, symbol);
    };
    // The symbols that the header's macros expand to.
    find(create, "cublasCreate_v2");
    find(destroy, "cublasDestroy_v2");
    find(set_stream, "cublasSetStream_v2");
    find(set_workspace, "cublasSetWorkspace_v2");
    find(gemm, "cublasGemmEx_64");
    find(status_string, "cublasGetStatusString");
  }
};

void check_cublas(cublasStatus_t status, const char* call) {
  if (status != CUBLAS_STATUS_SUCCESS) {
    raise<DeviceError>("cuBLAS: {} failed: {}", call, Library::get().status_string(status));
  }
}

}  // namespace

// With its own workspace on one stream, cuBLAS gives the same results from run to run (its manual, 2.1.4).
static constexpr size_t kWorkspaceBytes = size_t{32} << 20;

class Blas {
 public:
  explicit Blas(cudaStream_t stream) {
    CUBLAS_CHECK(library_.create(&handle_));
    CUBLAS_CHECK(library_.set_stream(handle_, stream));
    CUDA_CHECK(cudaMalloc(&workspace_, kWorkspaceBytes));
    CUBLAS_CHECK(library_.set_workspace(handle_, workspace_, kWorkspaceBytes));
  }
  ~Blas() {
    if (handle_) library_.destroy(handle_);
    if (workspace_) cudaFree(workspace_);
  }
  Blas(const Blas&) = delete;
  cublasHandle_t get() const { return handle_; }

 private:
  const Library& library_ = Library::get();
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
  // cuBLAS' matrices are column-major: a row-major C is its transpose there, so it computes C^T = op(B)^T op(A)^T.
  CUBLAS_CHECK(Library::get().gemm(blas.get(), p.transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N,
                                   p.transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N, p.n, p.m, p.k, &one, p.b, type_of(p.type),
                                   p.ldb, p.a, type_of(p.type), p.lda, &beta, p.c, type_of(p.type_c), p.ldc,
                                   CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT));
}

}  // namespace moe::cuda
