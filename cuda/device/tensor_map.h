// What the copy engine (TMA) knows of a tensor of bf16 in global memory: made on the host, given to kernels by value,
// in a parameter that is __grid_constant__.
#pragma once
#include <algorithm>
#include <cstdint>
#include <initializer_list>

namespace moe::cuda {

struct alignas(128) TensorMap {
  unsigned char opaque[128];
};

// One dimension of the tensor: how many there are, elements from one to the next, and how many a copy takes. The first
// is the innermost: its stride is 1, and its copies are of 64 elements, a row of 128 bytes, which lands in shared
// memory with its 16-byte pieces swizzled. Others: strides of 8 elements or a multiple, copies of at most 256.
struct TensorMapDimension {
  int64_t extent, stride;
  int box;
};

// `base` is at a 16-byte boundary, no extent is 0, and there are at most 5 dimensions; throws DeviceError otherwise. On
// the host alone and in about a microsecond, so maps are made anew for every launch.
TensorMap make_tensor_map(const void* base, std::initializer_list<TensorMapDimension> dimensions);

// Whether make_tensor_map takes all of these as a base.
inline bool at_copy_boundary(std::initializer_list<const void*> bases) {
  return std::all_of(bases.begin(), bases.end(),
                     [](const void* base) { return reinterpret_cast<uintptr_t>(base) % 16 == 0; });
}

}  // namespace moe::cuda
