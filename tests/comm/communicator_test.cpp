#include "comm/communicator.h"

#include <omp.h>

#include <atomic>

#include "comm/self_communicator.h"
#include "tests/support/catch.h"
#include "tests/support/communicator_contract.h"
#include "tests/support/thread_ranks.h"

namespace moe::test {

TEST_CASE("a single rank keeps the communicator's contract") {
  SelfCommunicator self;
  CHECK(self.size() == 1);
  CHECK_NOTHROW(check_communicator(self));
}

TEST_CASE("thread ranks keep the communicator's contract") {
  for (const int num_ranks : {1, 2, 3, 4, 7}) {
    INFO(num_ranks << " ranks");
    std::atomic<int> done = 0;
    CHECK_NOTHROW(run_ranks(num_ranks, [&](std::shared_ptr<Communicator> world) {
      check_communicator(*world);
      ++done;
    }));
    CHECK(done == num_ranks);
  }
}

TEST_CASE("a single rank refuses inconsistent counts") {
  SelfCommunicator self;
  std::vector<float> memory(6);
  const Tensor x{memory.data(), {3, 2}, DType::f32, Device::cpu};
  const std::vector<int64_t> three = {3}, two = {2};
  CHECK_THROWS_AS(self.all_to_all(x, three, x, two), InternalError);
}

TEST_CASE("an error on one thread rank reaches the caller and releases the others") {
  for (const int failing : {0, 2}) {
    std::atomic<int> went_on = 0;
    const auto body = [&](std::shared_ptr<Communicator> world) {
      const auto part = world->split(0);
      if (world->rank() == failing) throw DataError("rank failed");
      part->barrier();
      ++went_on;
    };
    CHECK_THROWS_AS(run_ranks(3, body), DataError);
    CHECK(went_on == 0);
  }
}

TEST_CASE("a deadlock of thread ranks is an error, not a hang") {
  CHECK_THROWS_AS(run_ranks(3,
                            [](std::shared_ptr<Communicator> world) {
                              if (world->rank() > 0) world->barrier();
                            }),
                  DeviceError);
  CHECK_THROWS_AS(run_ranks(2,
                            [](std::shared_ptr<Communicator> world) {
                              const auto part = world->split(0);
                              (world->rank() == 0 ? *world : *part).barrier();
                            }),
                  DeviceError);
}

TEST_CASE("thread ranks detect mismatched collectives") {
  const auto body_of = [](auto collective) {
    return [collective](std::shared_ptr<Communicator> world) {
      std::vector<float> memory(8);
      collective(*world, Tensor{memory.data(), {1 + world->rank()}, DType::f32, Device::cpu});
    };
  };
  CHECK_THROWS_AS(run_ranks(2, body_of([](Communicator& c, Tensor x) { c.all_reduce_sum(x); })), InternalError);
  CHECK_THROWS_AS(run_ranks(2, body_of([](Communicator& c, Tensor x) { c.broadcast(x, 0); })), InternalError);
  CHECK_THROWS_AS(run_ranks(2, body_of([](Communicator& c, Tensor x) { c.broadcast(x.slice(0, 1), c.rank()); })),
                  InternalError);
  CHECK_THROWS_AS(
      run_ranks(2, body_of([](Communicator& c, Tensor x) { c.rank() == 0 ? c.barrier() : c.all_reduce_sum(x); })),
      InternalError);
}

TEST_CASE("thread ranks use one OpenMP thread each") {
  std::atomic<int> threads = 0;
  run_ranks(3, [&](std::shared_ptr<Communicator>) { threads += omp_get_max_threads(); });
  CHECK(threads == 3);
}

}  // namespace moe::test
