// Ranks that are lost, with threads as ranks on made-up hosts; their connections are real ones.
#include "comm/peer_watch.h"

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "core/base/integer.h"
#include "core/base/text.h"
#include "tests/support/catch.h"
#include "tests/support/thread_ranks.h"

using namespace moe;

namespace {

// What the watches of all ranks report.
class Reports {
 public:
  explicit Reports(int ranks) : messages_(as_index(ranks)), counts_(as_index(ranks)) {}
  PeerWatch::OnLoss of(int rank) {
    return [this, rank](const std::string& message) {
      const std::scoped_lock lock(mutex_);
      messages_[as_index(rank)] = message;
      ++counts_[as_index(rank)];
      changed_.notify_all();
    };
  }
  // Waits until the rank has reported, for so long that a slow machine is no failure.
  void wait(int rank) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::minutes(2), [&] { return counts_[as_index(rank)] > 0; });
  }
  const std::string& message(int rank) const { return messages_[as_index(rank)]; }
  int count(int rank) const { return counts_[as_index(rank)]; }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> messages_;
  std::vector<int> counts_;
};

const std::vector<int> kHosts{0, 0, 2, 2, 4};
constexpr int kRanks = 5;
constexpr auto kLongerThanPatience = std::chrono::milliseconds(700);

}  // namespace

TEST_CASE("the first ranks of hosts watch each other and the ranks of their host") {
  std::vector<size_t> watched(kRanks);
  test::run_ranks(
      kRanks,
      [&](const std::shared_ptr<Communicator>& world) {
        const PeerWatch watch(*world);
        watched[as_index(world->rank())] = watch.watched();
        world->barrier();
      },
      kHosts);
  CHECK(watched == std::vector<size_t>{3, 1, 3, 1, 2});
}

TEST_CASE("a rank that is killed is named once on every host") {
  const int lost = GENERATE(0, 1, 2, 3, 4);
  Reports reports(kRanks);
  test::run_ranks(
      kRanks,
      [&](const std::shared_ptr<Communicator>& world) {
        const int rank = world->rank();
        PeerWatch watch(*world, {}, reports.of(rank));
        world->barrier();
        if (rank == lost)
          watch.vanish();
        else
          reports.wait(rank);
        world->barrier();
      },
      kHosts);
  for (int rank = 0; rank < kRanks; ++rank) {
    INFO("rank " << rank << " of the loss of " << lost << ": " << reports.message(rank));
    CHECK(reports.count(rank) == (rank == lost ? 0 : 1));
    const bool leads = rank == 0 || kHosts[as_index(rank)] != kHosts[as_index(rank) - 1];
    const bool lost_its_leader = kHosts[as_index(rank)] == kHosts[as_index(lost)] && lost < rank;
    if (rank == lost || (!leads && !lost_its_leader)) {
      CHECK(reports.message(rank).empty());
    } else {
      CHECK_THAT(reports.message(rank),
                 Catch::StartsWith(fmt::format("rank {} (host ", lost)) && Catch::Contains("has ended without a word"));
    }
  }
}

TEST_CASE("ranks that end in any order are not lost") {
  Reports reports(kRanks);
  test::run_ranks(
      kRanks,
      [&](const std::shared_ptr<Communicator>& world) {
        const int rank = world->rank();
        {
          const PeerWatch watch(*world, {}, reports.of(rank));
          world->barrier();
          if (rank != 0 && rank != 3) std::this_thread::sleep_for(kLongerThanPatience);
        }
        world->barrier();
      },
      kHosts);
  for (int rank = 0; rank < kRanks; ++rank) CHECK(reports.count(rank) == 0);
}

TEST_CASE("when a rank ends the job by an error, the ranks that this kills are not reported") {
  Reports reports(3);
  test::run_ranks(3, [&](const std::shared_ptr<Communicator>& world) {
    const int rank = world->rank();
    if (rank == 1) {
      try {
        const PeerWatch watch(*world, {}, reports.of(rank));
        world->barrier();
        throw std::runtime_error("a reason");
      } catch (const std::runtime_error&) {
        world->barrier();
      }
    } else {
      PeerWatch watch(*world, {}, reports.of(rank));
      world->barrier();
      world->barrier();  // the error was told
      if (rank == 2) watch.vanish();
      std::this_thread::sleep_for(kLongerThanPatience);
    }
    world->barrier();
  });
  for (int rank = 0; rank < 3; ++rank) CHECK(reports.count(rank) == 0);
}

TEST_CASE("a stopped rank is named where that is asked for") {
  // A watch that does not end stopped ranks sends no signs of life, as a stopped process.
  const int stopped = GENERATE(0, 3, 4);
  Reports reports(kRanks);
  test::run_ranks(
      kRanks,
      [&](const std::shared_ptr<Communicator>& world) {
        const int rank = world->rank();
        const PeerWatch watch(*world, {.seconds = 2, .ends_stopped = rank != stopped}, reports.of(rank));
        world->barrier();
        reports.wait(rank);
        world->barrier();
      },
      kHosts);
  for (int rank = 0; rank < kRanks; ++rank) {
    INFO("rank " << rank << ", stopped " << stopped << ": " << reports.message(rank));
    CHECK(reports.count(rank) == 1);
    if (kHosts[as_index(rank)] == kHosts[as_index(stopped)]) continue;
    if (rank == 0 || rank == 2 || rank == 4) {
      CHECK_THAT(reports.message(rank), Catch::StartsWith(fmt::format("rank {} (host ", stopped)) &&
                                            Catch::Contains("no sign of life for 2 seconds"));
    }
  }
}

TEST_CASE("without a time, and for one rank, nothing is watched") {
  test::run_ranks(2, [](const std::shared_ptr<Communicator>& world) {
    const PeerWatch watch(*world, {.seconds = 0});
    if (watch.watched() != 0) throw std::runtime_error("a rank is watched");
  });
  test::run_ranks(1, [](const std::shared_ptr<Communicator>& world) {
    const PeerWatch watch(*world);
    if (watch.watched() != 0) throw std::runtime_error("a rank is watched");
  });
}
