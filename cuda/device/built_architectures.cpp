#include "cuda/device/architectures.h"

namespace moe::cuda {

std::string built_architectures() {
  return MOE_CUDA_ARCHITECTURES;  // from CMakeLists.txt
}

}  // namespace moe::cuda
