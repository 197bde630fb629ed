#include <vector>

#include "tests/emulated/on_threads.h"

#include "core/base/integer.h"

namespace moe::test {

TEST_CASE("an mbarrier's phase ends when all threads have arrived, repeatedly") {
  // Warp 0 passes numbers to warp 1, which passes them back.
  struct Shared {
    uint64_t full, empty;
    int number[32];
  };
  std::vector<int> sums(32);
  on_threads(64, sizeof(Shared), [&] {
    auto& shared = cuda::shared_memory<Shared>();
    const int lane = thread_index() % 32;
    if (thread_index() == 0) {
      cuda::mbarrier_init(shared.full, 32);
      cuda::mbarrier_init(shared.empty, 32);
    }
    __syncthreads();
    for (int i = 0; i < 5; ++i) {
      const auto parity = static_cast<uint32_t>(i % 2);
      if (thread_index() < 32) {
        wait(shared.empty, parity ^ 1);  // the phase before the first counts as complete
        shared.number[lane] = 100 * i + lane;
        cuda::mbarrier_arrive(shared.full);
      } else {
        wait(shared.full, parity);
        sums[as_index(lane)] += shared.number[31 - lane];
        cuda::mbarrier_arrive(shared.empty);
      }
    }
  });
  for (int lane = 0; lane < 32; ++lane) CHECK(sums[as_index(lane)] == 1000 + 5 * (31 - lane));
}

TEST_CASE("an mbarrier waits for the announced bytes") {
  std::vector<float> source(64, 3.0f), got(32);
  struct Shared {
    float numbers[64];
    uint64_t full;
  };
  on_threads(32, sizeof(Shared), [&] {
    auto& shared = cuda::shared_memory<Shared>();
    if (thread_index() == 0) {
      cuda::mbarrier_init(shared.full, 1);
      cuda::mbarrier_arrive_expect_tx(shared.full, 256);
      cuda::bulk_load(shared.numbers, source.data(), 128, shared.full);
      cuda::bulk_load(shared.numbers + 32, source.data() + 32, 128, shared.full);
    }
    __syncwarp();
    wait(shared.full, 0);
    got[as_index(thread_index())] = shared.numbers[thread_index()] + shared.numbers[thread_index() + 32];
  });
  CHECK(got == std::vector<float>(32, 6.0f));
}

TEST_CASE("waits that never end are reported with what is missing") {
  const auto body = [](uint32_t arrivals, uint32_t bytes, int initialise) {
    return complaint_of(32, 8, [=] {
      auto& barrier = cuda::shared_memory<uint64_t>();
      if (initialise && thread_index() == 0) {
        cuda::mbarrier_init(barrier, arrivals);
        cuda::mbarrier_arrive_expect_tx(barrier, bytes);
      }
      __syncwarp();
      wait(barrier, 0);
    });
  };
  CHECK(body(1, 0, 1).empty());
  says(body(3, 0, 1), "lacks 2 arrivals and 0 bytes");
  says(body(1, 48, 1), "lacks 0 arrivals and 48 bytes to end its phase 0");
  says(body(1, 0, 0), "was not initialised");
  says(complaint_of(32, 8,
                    [] {
                      auto& barrier = cuda::shared_memory<uint64_t>();
                      if (thread_index() == 0) cuda::mbarrier_init(barrier, 2);
                      __syncthreads();
                      if (thread_index() == 1) __syncthreads();
                      wait(barrier, 0);
                    }),
       "waits for ever");
}

TEST_CASE("a named barrier waits for its number of threads, others continue") {
  std::vector<int> seen(96, -1);
  struct Shared {
    int number[64];
  };
  on_threads(96, sizeof(Shared), [&] {
    auto& shared = cuda::shared_memory<Shared>();
    const auto thread = static_cast<size_t>(thread_index());
    if (thread < 64) {
      for (int round = 0; round < 3; ++round) {
        shared.number[thread] = round + thread_index();
        cuda::barrier_sync(3, 64);
        seen[thread] = shared.number[63 - thread];
        cuda::barrier_sync(3, 64);
      }
    } else {
      seen[thread] = 7;
    }
  });
  for (size_t i = 0; i < 64; ++i) CHECK(seen[i] == 2 + static_cast<int>(63 - i));
  CHECK(seen[95] == 7);
  says(complaint_of(64, 8,
                    [] {
                      if (thread_index() < 32) cuda::barrier_sync(2, 64);
                    }),
       "barrier 2 has 32 of 64 threads");
}

}  // namespace moe::test
