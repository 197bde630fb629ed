// The watch of memory finds the faults that it is meant to find. This file is compiled like watched kernels.
#include <sys/wait.h>
#include <unistd.h>
#include <csignal>
#include <exception>

#include "core/tensor/bfloat16.h"
#include "cuda/kernel/wgmma_tile.cuh"
#include "tests/emulated/on_threads.h"

namespace moe::test {

namespace {

// Kernels access their data through these, as they would through their parameters.
float* numbers = nullptr;
cuda::TensorMap map;
bool in_order = false;

using Kernel = void();

std::string complaint(Kernel* kernel, unsigned threads = 64, unsigned blocks = 1) {
  static Kernel* running;
  running = kernel;
  try {
    emulator::run(
        {blocks, 1, 1}, {threads, 1, 1}, size_t{64} << 10, [](const void*) { running(); }, nullptr);
  } catch (const std::exception& error) {
    return error.what();
  }
  return "";
}

// The kernel passes when accesses are ordered, and the watch reports `what` when they are not.
void check(Kernel* kernel, const std::string& what, unsigned threads = 64, unsigned blocks = 1) {
  in_order = true;
  CHECK(complaint(kernel, threads, blocks) == "");
  in_order = false;
  says(complaint(kernel, threads, blocks), what);
}

class DeviceNumbers {
 public:
  DeviceNumbers() { REQUIRE(cudaMalloc(reinterpret_cast<void**>(&numbers), 1024 * sizeof(float)) == cudaSuccess); }
  ~DeviceNumbers() { cudaFree(numbers); }
  void clear() { REQUIRE(cudaMemsetAsync(numbers, 0, 1024 * sizeof(float), nullptr) == cudaSuccess); }
};

struct alignas(1024) Shared {
  float numbers[1024];
  BFloat16 tiles[2][64 * 64];
  uint64_t full[2];
  int count;
};

void barrier_if(bool wanted) {
  if (wanted) __syncthreads();
}

void read_of_a_neighbour() {
  auto& shared = cuda::shared_memory<Shared>();
  shared.numbers[threadIdx.x] = 1;
  barrier_if(in_order);
  if (shared.numbers[threadIdx.x ^ 32] == 2) shared.numbers[threadIdx.x] = 3;
}

void overwriting_what_is_read() {
  auto& shared = cuda::shared_memory<Shared>();
  shared.numbers[threadIdx.x] = 1;
  __syncthreads();
  const float sum = shared.numbers[threadIdx.x] + shared.numbers[threadIdx.x ^ 32];
  barrier_if(in_order);
  shared.numbers[threadIdx.x] = sum;
}

void a_shuffle_that_orders_nothing() {
  auto& shared = cuda::shared_memory<Shared>();
  shared.numbers[threadIdx.x] = 1;
  if (in_order)
    __syncwarp();
  else
    __shfl_xor_sync(0xFFFFFFFFu, 1, 1);
  if (shared.numbers[threadIdx.x ^ 1] == 2) shared.numbers[threadIdx.x] = 3;
}

void a_count() {
  auto& shared = cuda::shared_memory<Shared>();
  if (threadIdx.x == 0) shared.count = 0;
  __syncthreads();
  atomicAdd(&shared.count, 1);
  barrier_if(in_order);
  if (threadIdx.x == 5 && shared.count == 65) shared.numbers[0] = 1;
}

void blocks_that_share() {
  numbers[in_order ? blockIdx.x : 0] = 1;
}
void a_block_that_reads_what_another_writes() {
  if (threadIdx.x > 0) return;
  if (blockIdx.x == 0)
    numbers[0] = 1;
  else if (!in_order && numbers[0] == 1)
    numbers[1] = 2;
}

void a_read_of_global_memory() {
  if (numbers[threadIdx.x] == 7) numbers[threadIdx.x] = 8;
}
void a_read_behind_the_end() {
  if (threadIdx.x == 0 && numbers[in_order ? 1023 : 1024] == 7) numbers[0] = 8;
}
void a_vector_across_its_boundary() {
  if (threadIdx.x == 0) *reinterpret_cast<float2*>(numbers + (in_order ? 2 : 1)) = float2{1, 2};
}

void a_product_of_ordinary_stores() {
  auto& shared = cuda::shared_memory<Shared>();
  for (unsigned i = threadIdx.x; i < 64 * 64; i += 128) shared.tiles[0][i] = shared.tiles[1][i] = BFloat16{0};
  if (in_order) cuda::fence_proxy_async();
  __syncthreads();
  float d[8][4] = {};
  cuda::wgmma_fence();
  cuda::warpgroup_multiply<cuda::Operand::rows, cuda::Operand::rows, 64, 64, 64>(d, shared.tiles[0], shared.tiles[1],
                                                                                 false);
  cuda::wgmma_commit_group();
  cuda::wgmma_wait_group<0>();
}

// Reads a stage that another copy than the awaited one fills.
void a_copy_that_is_not_awaited() {
  auto& shared = cuda::shared_memory<Shared>();
  if (threadIdx.x == 0) {
    for (uint64_t& full : shared.full) cuda::mbarrier_init(full, 1);
  }
  __syncthreads();
  if (threadIdx.x == 0) {
    for (int i = 0; i < 2; ++i) {
      cuda::mbarrier_arrive_expect_tx(shared.full[i], 64 * 128);
      cuda::tma_load_2d(shared.tiles[i], map, shared.full[i], 0, 0);
    }
  }
  wait(shared.full[1], 0);
  if (in_order) wait(shared.full[0], 0);
  while (shared.tiles[0][threadIdx.x].bits == 0xFFFF) cuda::mbarrier_try_wait_parity(shared.full[0], 0);
}

// Threads of warp 1 read data that thread 0 overwrites after the release by thread 32, which is not ordered after their
// reads.
void a_stage_that_is_copied_over() {
  auto& shared = cuda::shared_memory<Shared>();
  uint64_t &full = shared.full[0], &empty = shared.full[1];
  if (threadIdx.x == 0) {
    cuda::mbarrier_init(full, 1);
    cuda::mbarrier_init(empty, 1);
  }
  __syncthreads();
  const auto copy = [&] {
    cuda::mbarrier_arrive_expect_tx(full, 64 * 128);
    cuda::tma_load_2d(shared.tiles[0], map, full, 0, 0);
  };
  if (threadIdx.x == 0) copy();
  wait(full, 0);
  if (threadIdx.x >= 32) {
    if (shared.tiles[0][threadIdx.x].bits == 1) shared.numbers[threadIdx.x] = 1;
    if (in_order) __syncwarp();
    if (threadIdx.x == 32) cuda::mbarrier_arrive(empty);
  }
  if (threadIdx.x == 0) {
    wait(empty, 0);
    copy();
  }
  __syncwarp();
  wait(full, 1);
}

}  // namespace

TEST_CASE("accesses to shared memory without a barrier between them are detected") {
  // Which of the two comes second depends on the schedule.
  for (Kernel* kernel : {read_of_a_neighbour, overwriting_what_is_read, a_shuffle_that_orders_nothing, a_count})
    check(kernel, "is not ordered with a");
}

TEST_CASE("conflicting accesses of blocks of one launch to global memory are detected") {
  const DeviceNumbers device;
  check(blocks_that_share, "after a write by a thread of another block", 1, 2);
  check(a_block_that_reads_what_another_writes, "after a write by a thread of another block", 1, 2);
}

TEST_CASE("accesses to memory that is not the device's, or not written, are detected") {
  DeviceNumbers device;
  says(complaint(a_read_of_global_memory), "reads memory that was never written");
  device.clear();
  CHECK(complaint(a_read_of_global_memory) == "");
  check(a_read_behind_the_end, "accesses memory of the host");
  check(a_vector_across_its_boundary, "4 bytes past a multiple of 8");
  std::vector<float> on_host(64);
  float* const on_device = std::exchange(numbers, on_host.data());
  says(complaint(a_read_of_global_memory), "accesses memory of the host");
  numbers = on_device;
}

TEST_CASE("products of data written by ordinary stores need a fence") {
  check(a_product_of_ordinary_stores, "without a fence.proxy.async", 128);
}

TEST_CASE("copies that are not awaited, or start too early, are detected") {
  const ManagedVector<uint16_t> x(64 * 64);
  map = cuda::make_tensor_map(x.data(), {{64, 1, 64}, {64, 64, 64}});
  check(a_copy_that_is_not_awaited, "is not ordered with a");
  check(a_stage_that_is_copied_over, "is not ordered with a");
}

TEST_CASE("the host faults on the device's memory, and copies must have the right direction") {
  DeviceNumbers device;
  device.clear();
  float host[4] = {1, 2, 3, 4};
  CHECK(cudaMemcpy(numbers, host, sizeof host, cudaMemcpyHostToDevice) == cudaSuccess);
  CHECK(cudaMemcpy(host, host, sizeof host, cudaMemcpyHostToDevice) == cudaErrorInvalidValue);
  CHECK(cudaMemcpy(host, numbers, sizeof host, cudaMemcpyDeviceToDevice) == cudaErrorInvalidValue);
  CHECK(cudaMemsetAsync(host, 0, sizeof host, nullptr) == cudaErrorInvalidValue);
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    std::signal(SIGSEGV, SIG_DFL);
    numbers[0] = 5;
    _exit(0);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK((WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV));
}

}  // namespace moe::test
