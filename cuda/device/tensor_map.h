// The copy engine's (TMA) description of a bf16 tensor in global memory. It is made on the host and passed to kernels
// by value, in a parameter that is __grid_constant__.
#pragma once
#include <algorithm>
#include <cstdint>
#include <initializer_list>

namespace moe::cuda {

struct alignas(128) TensorMap {
  unsigned char opaque[128];
};

// One dimension of the tensor: its extent, the stride between neighbours in elements, and the number that a copy takes.
// The first dimension is the innermost. Its stride is 1, and its copies take 64 elements, a row of 128 bytes, whose
// 16-byte pieces are swizzled in shared memory. The other dimensions have strides of a multiple of 8 elements and
// copies of at most 256.
struct TensorMapDimension {
  int64_t extent, stride;
  int box;
};

// `base` must be at a 16-byte boundary, no extent may be 0, and there are at most 5 dimensions; otherwise DeviceError
// is thrown. It runs on the host only and takes about a microsecond, so maps are made for every launch.
TensorMap make_tensor_map(const void* base, std::initializer_list<TensorMapDimension> dimensions);

// Whether make_tensor_map accepts each of these as a base.
inline bool at_copy_boundary(std::initializer_list<const void*> bases) {
  return std::all_of(bases.begin(), bases.end(),
                     [](const void* base) { return reinterpret_cast<uintptr_t>(base) % 16 == 0; });
}

}  // namespace moe::cuda
