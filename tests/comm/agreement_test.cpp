#include "comm/agreement.h"

#include <functional>
#include <mutex>

#include "core/base/error.h"
#include "core/base/host.h"
#include "tests/support/catch.h"
#include "tests/support/thread_ranks.h"

using namespace moe;
using namespace moe::test;

TEST_CASE("ranks that agree go on, and those that do not all get the same error, which names rank, host and key") {
  std::mutex mutex;
  const auto check = [&](const std::function<Facts(int rank)>& facts, const std::vector<std::string>& expected) {
    run_ranks(4, [&](std::shared_ptr<Communicator> world) {
      std::string error;
      try {
        require_agreement(*world, "the same configuration", facts(world->rank()));
      } catch (const UsageError& caught) {
        error = caught.what();
      }
      const std::scoped_lock lock(mutex);
      INFO(error);
      CHECK(error.empty() == expected.empty());
      for (const std::string& part : expected) CHECK_THAT(error, Catch::Contains(part));
      if (!error.empty()) CHECK_THAT(error, Catch::Contains("rank 2 (host " + host_name() + ")"));
    });
  };
  const Facts same{{"train.steps", "10"}, {"seed", "1"}};
  check([&](int) { return same; }, {});
  check(
      [&](int rank) {
        return rank == 2 ? Facts{{"train.steps", "20"}, {"seed", "1"}} : same;
      },
      {"train.steps: 20 on rank 2", "10 on rank 0", "the same configuration"});
  check([&](int rank) { return rank == 2 ? Facts{{"seed", "1"}} : same; }, {"train.steps: (absent) on rank 2"});
  check(
      [&](int rank) {
        return rank >= 2 ? Facts{{"a 3 b", "1 x"}, {"\xff", "2"}} : Facts{};
      },
      {"a 3 b: 1 x on rank 2"});
  Facts many;
  for (int i = 0; i < 9; ++i) many.emplace_back(std::to_string(i), "x");
  check([&](int rank) { return rank == 2 ? many : Facts{}; }, {"and 4 more"});
}
