// What the ranks send in a step, as ProfiledCommunicator records it. Clocks are made up.
#include "comm/traffic.h"

#include <algorithm>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "comm/process_groups.h"
#include "comm/profiled_communicator.h"
#include "core/base/integer.h"
#include "tests/support/catch.h"
#include "tests/support/communicator_contract.h"
#include "tests/support/thread_ranks.h"

using namespace moe;

namespace {

const std::vector<int> kHosts = {0, 0, 1, 1};

// A clock of each thread that goes on by `tick` at every look.
thread_local double seconds = 0, tick = 0;
double ticking_clock() {
  return seconds += tick;
}

// A clock that stands still unless a test or what it waits for sets it.
double now_is = 0;
double set_clock() {
  return now_is;
}

// Two ranks of which this is the first. What is started is carried out from `begin` to `end`.
class MadeUpRanks : public Communicator {
 public:
  explicit MadeUpRanks(std::optional<TransferTime> t) : time(t) {}
  int rank() const override { return 0; }
  int size() const override { return 2; }
  int host_of(int rank) const override { return rank; }
  void all_reduce_sum(Tensor) override {}
  void all_reduce_max(Tensor) override {}
  void broadcast(Tensor, int) override {}
  void all_to_all(Tensor, std::span<const int64_t>, ConstTensor, std::span<const int64_t>) override {}
  void barrier() override {}
  Pending start_all_reduce_sum(Tensor, std::span<const int64_t>, DType) override { return {*this, 5}; }
  std::unique_ptr<Communicator> split(int) override { return nullptr; }

  std::optional<TransferTime> time;
  bool gave_up = false;

 private:
  std::optional<TransferTime> finish(int64_t ticket) override {
    MOE_CHECK(ticket == 5, "ticket {}", ticket);
    if (time) now_is = std::max(now_is, time->end);
    return time;
  }
  void give_up() override { gave_up = true; }
};

// The event of a sum that is started at second 10 of a step and waited for from `wait` on.
TrafficEvent started_event(std::optional<TransferTime> time, double wait) {
  const auto recorder = std::make_shared<TrafficRecorder>(set_clock);
  const auto ranks = std::make_shared<MadeUpRanks>(time);
  ProfiledCommunicator profiled(ranks, recorder);
  now_is = 0;
  recorder->begin_step();
  now_is = 10;
  std::vector<float> x(6);
  recorder->label = {TrafficKind::gradients, 3};
  Pending pending = profiled.start_all_reduce_sum(as_tensor(std::span(x)), equal_parts(6, 2), DType::f32);
  recorder->label = {};
  now_is = wait;
  pending.wait();
  const TrafficProfile profile = recorder->finish_step(*ranks);
  return profile.events.at(0);
}

}  // namespace

TEST_CASE("a profiled communicator is a communicator, recorded or not") {
  for (const bool on : {false, true}) {
    test::run_ranks(4, [&](std::shared_ptr<Communicator> world) {
      const auto recorder = std::make_shared<TrafficRecorder>();
      const std::shared_ptr<Communicator> ranks = profiled(world, recorder);
      if (on) recorder->begin_step();
      test::check_communicator(*ranks);
      const TrafficProfile profile = recorder->finish_step(*world);
      MOE_CHECK(profile.rows.empty() != on, "{} rows", profile.rows.size());
    });
  }
}

TEST_CASE("bytes and messages are counted by peer, inside a host and between hosts") {
  std::mutex mutex;
  std::vector<TrafficRow> rows;
  test::run_ranks(
      4,
      [&](std::shared_ptr<Communicator> world) {
        const auto recorder = std::make_shared<TrafficRecorder>();
        const std::shared_ptr<Communicator> ranks = profiled(world, recorder);
        recorder->begin_step();
        // Rank r sends p rows of 3 floats to rank p.
        const std::vector<int64_t> send_rows = {0, 1, 2, 3}, recv_rows(4, ranks->rank());
        std::vector<float> send(18), recv(as_index(12 * ranks->rank()));
        {
          const TrafficScope layer(recorder.get(), 2);
          const TrafficScope kind(recorder.get(), TrafficKind::dispatch);
          ranks->all_to_all({recv.data(), {4 * ranks->rank(), 3}, DType::f32, Device::cpu}, recv_rows,
                            {Tensor{send.data(), {6, 3}, DType::f32, Device::cpu}}, send_rows);
        }
        std::vector<double> sum(8);
        ranks->all_reduce_sum(as_tensor(std::span(sum)));  // 2 to each of 3, twice
        std::vector<float> gradient(7);
        const std::vector<int64_t> parts = {4, 0, 2, 1};
        {
          const TrafficScope scope(recorder.get(), TrafficLabel{TrafficKind::gradients, 1});
          ranks->start_all_reduce_sum(as_tensor(std::span(gradient)), parts, DType::bf16).wait();
        }
        const TrafficScope scope(recorder.get(), TrafficKind::weights);
        ranks->start_all_gather(as_tensor(std::span(gradient)), parts).wait();
        const TrafficProfile profile = recorder->finish_step(*world);
        MOE_CHECK(profile.ranks == 4 && profile.hosts == 2, "{} ranks", profile.ranks);
        const std::scoped_lock lock(mutex);
        if (ranks->rank() == 0) rows = profile.rows;
      },
      kHosts);
  REQUIRE(rows.size() == 4);
  const auto check = [&](size_t i, TrafficLabel label, TrafficCounts counts) {
    CHECK(rows[i].label == label);
    for (const auto count : kTrafficCounts) CHECK(rows[i].counts.*count == counts.*count);
  };
  // Rows to a rank of the same host: 1 from 0, 0 from 1, 3 from 2, 2 from 3. To the other host: 5 from 0 and from 1, 1
  // from 2 and from 3.
  check(0, {TrafficKind::dispatch, 2}, {6 * 12, 12 * 12, 3, 6});
  // In bf16: parts of 4, 0, 2 and 1 elements to their ranks, and back to 3 others.
  check(1, {TrafficKind::gradients, 1}, {2 * 2 * 7, 2 * 2 * 2 * 7, 6, 12});
  check(2, {TrafficKind::weights, -1}, {4 * 7, 4 * 2 * 7, 3, 6});
  check(3, {TrafficKind::sums, -1}, {2 * 8 * 2 * 4, 2 * 8 * 2 * 8, 8, 16});
}

TEST_CASE("groups of ranks are recorded too, and the last rank that arrives waits for none") {
  std::mutex mutex;
  std::vector<TrafficProfile> profiles(4);
  test::run_ranks(
      4,
      [&](std::shared_ptr<Communicator> world) {
        seconds = 0;
        tick = 1 + world->rank();  // a call takes one look's time
        const auto recorder = std::make_shared<TrafficRecorder>(ticking_clock);
        const ProcessGroups groups = ProcessGroups::make(profiled(world, recorder), 2, 4);
        double x = 1;
        groups.expert->all_reduce_sum(as_tensor(std::span(&x, 1)));  // not recorded
        recorder->begin_step();
        groups.expert->all_reduce_sum(as_tensor(std::span(&x, 1)));
        groups.world->barrier();
        const TrafficProfile profile = recorder->finish_step(*groups.world);
        const std::scoped_lock lock(mutex);
        profiles[as_index(world->rank())] = profile;
      },
      kHosts);
  for (int rank = 0; rank < 4; ++rank) {
    INFO("rank " << rank);
    const TrafficProfile& profile = profiles[as_index(rank)];
    REQUIRE(profile.events.size() == 2);
    CHECK(profile.events[0].end - profile.events[0].begin == 1 + rank);
    CHECK(profile.events[0].waiting == rank % 2);  // of two ranks
    CHECK(profile.events[1].waiting == rank);      // of four
    REQUIRE(profile.rows.size() == 1);
    CHECK(profile.rows[0].counts.messages() == 4);  // in each group, one element to the rank that adds it, and back
    CHECK(profile.rows[0].waiting.mean == (0 + 2 + 2 + 4 + 0.0) / 4);
    CHECK(profile.rows[0].waiting.largest == 4);
    CHECK(profile.rows[0].transfer.mean == (2 + 2 + 4 + 4) / 4.0);
    CHECK(profile.rows[0].hidden.mean == 0);
    CHECK(profile.seconds == (1 + 2 + 3 + 4) * 5 / 4.0);
  }
}

TEST_CASE("what a started communication does while the program computes is hidden") {
  // Complete before it is waited for: all of it.
  TrafficEvent e = started_event(TransferTime{11, 13}, 14);
  CHECK(e.label == TrafficLabel{TrafficKind::gradients, 3});
  CHECK(e.counts.bytes_between == 2 * 3 * 4);
  CHECK(e.begin == 11);
  CHECK(e.end == 13);
  CHECK(e.hidden == 2);
  CHECK_FALSE(e.blocks);
  // Partly under way when it is waited for: until then.
  e = started_event(TransferTime{11, 18}, 14);
  CHECK(e.end == 18);
  CHECK(e.hidden == 3);
  // Begun only then: none of it.
  CHECK(started_event(TransferTime{15, 18}, 14).hidden == 0);
  // Without a time it was complete when start returned.
  e = started_event(std::nullopt, 14);
  CHECK(e.begin == 10);
  CHECK(e.end == 10);
  CHECK(e.hidden == 0);
  CHECK(e.blocks);
}

TEST_CASE("a started communication that is not waited for is given up") {
  const auto recorder = std::make_shared<TrafficRecorder>();
  const auto ranks = std::make_shared<MadeUpRanks>(std::nullopt);
  ProfiledCommunicator profiled(ranks, recorder);
  recorder->begin_step();
  std::vector<float> x(2);
  { const Pending pending = profiled.start_all_reduce_sum(as_tensor(std::span(x)), equal_parts(2, 2), DType::f32); }
  CHECK(ranks->gave_up);
}

TEST_CASE("a single rank, or one without a recorder, is not wrapped") {
  const std::shared_ptr<Communicator> alone = ProcessGroups::single().world;
  CHECK(profiled(alone, std::make_shared<TrafficRecorder>()) == alone);
  const auto ranks = std::make_shared<MadeUpRanks>(std::nullopt);
  CHECK(profiled(ranks, nullptr) == ranks);
}
