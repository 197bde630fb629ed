// The PTX instructions of cuda/kernel/ptx.cuh, restated by their documented data flow (PTX ISA, "Matrix fragments for
// mma.m16n8k16", "ldmatrix", "cp.async").
#pragma once
#include <cuda_runtime.h>

#include "core/tensor/bfloat16.h"

namespace moe::cuda {

template <class T>
T& shared_memory() {
  return *static_cast<T*>(emulator::shared_memory(sizeof(T)));
}

// As in a descriptor: from the beginning of the block's shared memory.
inline uint32_t shared_address(const void* pointer) {
  return static_cast<uint32_t>(emulator::shared_offset(pointer, 0));
}

inline float bf16_half(uint64_t pair, int half) {
  return __uint_as_float(static_cast<uint32_t>(pair >> (16 * half) & 0xFFFFu) << 16);
}

inline void mma_m16n8k16_bf16(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  const uint64_t offered[6] = {a[0], a[1], a[2], a[3], b0, b1};
  int set = 0;
  const emulator::Exchange& all = emulator::gather(0xFFFFFFFFu, offered, 6, "mma.m16n8k16", set);
  const int lane = emulator::current->lane;
  for (int e = 0; e < 4; ++e) {
    const int row = lane / 4 + 8 * (e / 2), column = 2 * (lane % 4) + e % 2;
    for (int k = 0; k < 16; ++k) {
      const uint64_t left = all.value[set][row / 8 + 2 * (k / 8)][row % 8 * 4 + k % 8 / 2];
      const uint64_t right = all.value[set][4 + k / 8][column * 4 + k % 8 / 2];
      d[e] += bf16_half(left, k % 2) * bf16_half(right, k % 2);
    }
  }
}

inline void load_matrices(uint32_t (&r)[4], const void* row, bool transposed, const char* name) {
  if (reinterpret_cast<uintptr_t>(row) % 16 != 0) emulator::fail(std::string(name) + " of a row that is not aligned");
  const uint64_t offered = reinterpret_cast<uint64_t>(row);
  int set = 0;
  const emulator::Exchange& all = emulator::gather(0xFFFFFFFFu, &offered, 1, name, set);
  const int i = emulator::current->lane / 4, j = 2 * (emulator::current->lane % 4);
  for (int m = 0; m < 4; ++m) {
    const auto at = [&](int y, int x) -> uint32_t {
      return reinterpret_cast<const uint16_t*>(all.value[set][0][8 * m + y])[x];
    };
    r[m] = transposed ? at(j, i) | at(j + 1, i) << 16 : at(i, j) | at(i, j + 1) << 16;
  }
}
inline void ldmatrix_x4(uint32_t (&r)[4], const void* row) {
  load_matrices(r, row, false, "ldmatrix.x4");
}
inline void ldmatrix_x4_trans(uint32_t (&r)[4], const void* row) {
  load_matrices(r, row, true, "ldmatrix.x4.trans");
}

// Copies land when they are waited for, and not before.
inline void cp_async_cg_16(void* shared, const void* global, bool valid) {
  if (reinterpret_cast<uintptr_t>(shared) % 16 != 0 || (valid && reinterpret_cast<uintptr_t>(global) % 16 != 0)) {
    emulator::fail("cp.async of 16 bytes that are not aligned");
  }
  emulator::current->open_copies.push_back({shared, valid ? global : nullptr});
}
inline void cp_async_commit_group() {
  emulator::Thread& thread = *emulator::current;
  thread.pending_groups.push_back(std::move(thread.open_copies));
  thread.open_copies.clear();
}
template <int kPending>
void cp_async_wait_group() {
  auto& groups = emulator::current->pending_groups;
  while (groups.size() > static_cast<size_t>(kPending)) {
    for (const auto& copy : groups.front()) {
      if (copy.from)
        std::memcpy(copy.to, copy.from, 16);
      else
        std::memset(copy.to, 0, 16);
    }
    groups.erase(groups.begin());
  }
}

inline uint32_t cvt_rn_bf16x2(float low, float high) {
  return uint32_t{to_bfloat16(low).bits} | uint32_t{to_bfloat16(high).bits} << 16;
}
inline float ex2_approx(float x) {
  return std::exp2(x);
}

}  // namespace moe::cuda
