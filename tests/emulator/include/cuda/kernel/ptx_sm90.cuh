// The PTX instructions of cuda/kernel/ptx_sm90.cuh, restated by their documented data flow (tests/emulator/hopper.h).
#pragma once
#include "cuda/device/tensor_map.h"
#include "cuda/kernel/ptx.cuh"
#include "tests/emulator/hopper.h"

namespace moe::cuda {

inline void mbarrier_init(uint64_t& barrier, uint32_t arrivals) {
  emulator::mbarrier_init(&barrier, arrivals);
}
inline void fence_mbarrier_init() {}
inline void mbarrier_arrive(uint64_t& barrier) {
  emulator::mbarrier_arrive(&barrier, 0);
}
inline void mbarrier_arrive_expect_tx(uint64_t& barrier, uint32_t bytes) {
  emulator::mbarrier_arrive(&barrier, bytes);
}
// Sleeps until it can return true.
inline bool mbarrier_try_wait_parity(uint64_t& barrier, uint32_t parity) {
  emulator::mbarrier_wait(&barrier, parity);
  return true;
}
inline void fence_proxy_async() {
  emulator::watch::fence(*emulator::current);
}
inline void barrier_sync(int id, int threads) {
  emulator::named_barrier(id, threads);
}

inline void prefetch_tensormap(const TensorMap&) {}
inline void tma_load_2d(void* shared, const TensorMap& map, uint64_t& barrier, int x0, int x1) {
  const int32_t at[] = {x0, x1};
  emulator::tensor_load(shared, map, at, 2, &barrier);
}
inline void tma_load_3d(void* shared, const TensorMap& map, uint64_t& barrier, int x0, int x1, int x2) {
  const int32_t at[] = {x0, x1, x2};
  emulator::tensor_load(shared, map, at, 3, &barrier);
}
inline void tma_load_4d(void* shared, const TensorMap& map, uint64_t& barrier, int x0, int x1, int x2, int x3) {
  const int32_t at[] = {x0, x1, x2, x3};
  emulator::tensor_load(shared, map, at, 4, &barrier);
}
inline void bulk_load(void* shared, const void* global, uint32_t bytes, uint64_t& barrier) {
  emulator::bulk_load(shared, global, bytes, &barrier);
}
inline void tma_store_4d(const TensorMap& map, const void* shared, int x0, int x1, int x2, int x3) {
  const int32_t at[] = {x0, x1, x2, x3};
  emulator::tensor_store(map, at, 4, shared);
}
inline void bulk_commit_group() {
  emulator::current->stores.commit();
}
template <int kPending>
void bulk_wait_group_read() {
  emulator::current->stores.wait(kPending);
}

template <int kRegisters>
void setmaxnreg_inc() {
  const uint64_t registers = kRegisters;
  static_assert(kRegisters % 8 == 0 && kRegisters >= 24 && kRegisters <= 256);
  emulator::warpgroup_step(&registers, 1, "setmaxnreg");
}
template <int kRegisters>
void setmaxnreg_dec() {
  setmaxnreg_inc<kRegisters>();
}

inline void st_shared(float* shared, float value) {
  *shared = value;
}

inline void wgmma_fence() {
  emulator::wgmma_fence();
}
inline void wgmma_commit_group() {
  emulator::current->products.commit();
}
template <int kPending>
void wgmma_wait_group() {
  emulator::current->products.wait(kPending);
  emulator::current->wgmma_fenced = false;
}
template <class T, int kN>
void keep_registers(T (&)[kN][4]) {}

template <bool kColumnsA, bool kColumnsB, int kN>
void wgmma_bf16(float (&d)[kN][4], uint64_t a, uint64_t b, bool accumulate) {
  emulator::multiply({&d[0][0], 8 * kN, a, b, nullptr, kColumnsA, kColumnsB, accumulate});
}
template <bool kColumnsB, int kN>
void wgmma_bf16(float (&d)[kN][4], const uint32_t (&a)[4], uint64_t b, bool accumulate) {
  emulator::multiply({&d[0][0], 8 * kN, 0, b, a, false, kColumnsB, accumulate});
}

}  // namespace moe::cuda
