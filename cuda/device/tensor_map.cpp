#include "cuda/device/tensor_map.h"

#include <cuda.h>

#include <cstring>

#include "cuda/device/check.h"

namespace moe::cuda {

static_assert(sizeof(TensorMap) == sizeof(CUtensorMap) && alignof(TensorMap) >= alignof(CUtensorMap));

using Encode = decltype(&cuTensorMapEncodeTiled);

// Obtains the driver's function through the runtime, so that nothing links against the driver, which machines without a
// GPU lack.
static Encode driver_function() {
  void* function = nullptr;
  cudaDriverEntryPointQueryResult found{};
#if CUDART_VERSION >= 12050
  CUDA_CHECK(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, 12000, cudaEnableDefault, &found));
#else
  CUDA_CHECK(cudaGetDriverEntryPoint("cuTensorMapEncodeTiled", &function, cudaEnableDefault, &found));
#endif
  if (found != cudaDriverEntryPointSuccess || !function)
    throw DeviceError("the CUDA driver has no cuTensorMapEncodeTiled; a driver for CUDA 12.0 or newer is needed");
  return reinterpret_cast<Encode>(function);
}

TensorMap make_tensor_map(const void* base, std::initializer_list<TensorMapDimension> dimensions) {
  static const Encode encode = driver_function();
  cuuint64_t extents[5], stride_bytes[5];
  cuuint32_t box[5], steps[5];
  cuuint32_t rank = 0;
  for (const TensorMapDimension& dimension : dimensions) {
    MOE_CHECK(rank < 5 && dimension.extent > 0 && dimension.box > 0,
              "dimension {} of a tensor map: {} elements, {} in a box", rank, dimension.extent, dimension.box);
    extents[rank] = static_cast<cuuint64_t>(dimension.extent);
    stride_bytes[rank] = static_cast<cuuint64_t>(dimension.stride) * 2;
    box[rank] = static_cast<cuuint32_t>(dimension.box);
    steps[rank] = 1;
    ++rank;
  }
  CUtensorMap encoded;
  const CUresult status =
      encode(&encoded, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, rank, const_cast<void*>(base), extents, stride_bytes + 1, box,
             steps, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
             CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (status != CUDA_SUCCESS)
    raise<DeviceError>("cuTensorMapEncodeTiled failed with {}: {} dimensions, {} x {}", static_cast<int>(status), rank,
                       extents[0], rank > 1 ? extents[1] : 1);
  TensorMap map;
  std::memcpy(&map, &encoded, sizeof map);
  return map;
}

}  // namespace moe::cuda
