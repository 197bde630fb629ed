#include "core/schedule/scheduled.h"

#include <cmath>

#include "core/config/config_reader.h"
#include "core/config/config_writer.h"
#include "core/config/train_config.h"
#include "tests/support/catch.h"

using namespace moe;

static constexpr int64_t kUpdates = 100;
static const RunLength kRun{kUpdates, 64, 20};

// Made through the configuration, as a user writes it: {kind: ..., options}.
static Choice<Schedule> schedule_choice(const std::string& yaml) {
  TrainConfig config;
  read_config(parse_config("train: {learning_rate: " + yaml + "}", "test"), config);
  return config.train.learning_rate;
}
// A field with this key and range that follows the schedule.
static ScheduleField field(const char* key, const Choice<Schedule>& schedule, Range<double> range = {}) {
  ScheduleField result(schedule, range);
  result.set_place({key, "my.yaml:3"});
  return result;
}
static std::unique_ptr<Schedule> schedule(const std::string& yaml) {
  return schedule_choice(yaml).make(Schedule::Setup{kRun});
}

TEST_CASE("every schedule is finite, and its warm-up rises in equal steps from above 0 to the value after it") {
  for (const Member& member : family<Schedule>()) {
    for (const int warmup : {0, 1, 7}) {
      INFO(member.name << ", warmup " << warmup);
      const auto s = schedule("{kind: " + member.name + ", warmup: " + std::to_string(warmup) + "}");
      CHECK(s->warmup() == warmup);
      for (int64_t u = 0; u <= 2 * kUpdates; ++u) CHECK(std::isfinite(s->at(u)));
      CHECK(s->at(0) > 0);
      for (int64_t u = 0; u <= warmup; ++u)
        CHECK(s->at(u) == Approx(s->at(warmup) * (u + 1) / (warmup + 1)).epsilon(1e-12));
    }
  }
}

TEST_CASE("a bare number is a constant schedule, and survives a round trip") {
  CHECK(schedule("0.25")->at(7) == 0.25);
  CHECK(schedule("3e-4")->at(0) == 3e-4);
  TrainConfig config;
  read_config(parse_config("train: {learning_rate: 0.125}", "test"), config);
  TrainConfig again;
  read_config(parse_config(write_yaml(config, false), "test"), again);
  CHECK(again.train.learning_rate.make(kRun).at(3) == 0.125);
  CHECK_THROWS_WITH(schedule("fast"), Catch::Contains("constant") && Catch::Contains("fast"));
}

TEST_CASE("a scheduled quantity stays in its range, and a schedule that leaves it is refused with its key") {
  const Scheduled k = field("moe.router.k", schedule_choice("{kind: linear, from: 8, to: 2}"), {1, 8}).make(kRun);
  CHECK(k.at(0) == 8);
  CHECK(k.at(kUpdates) == 2);
  CHECK(k.largest() == 8);
  CHECK(k.smallest() == Approx(2).epsilon(0.05));
  CHECK(ScheduleField(0.5, {0, 1}).make(kRun).at(12345) == 0.5);
  const auto rising = schedule_choice("{kind: linear, from: 0.5, to: 1.5}");
  CHECK_THROWS_WITH(field("moe.x.p", rising, {0, 1}).make(kRun),
                    Catch::Contains("my.yaml:3: moe.x.p: must be between 0 and 1 throughout the run") &&
                        Catch::Contains("from 0.5 to 1.4"));
  CHECK_THROWS_WITH(field("moe.x.p", constantly(-1), {0}).make(kRun),
                    Catch::Contains("my.yaml:3: moe.x.p '-1': must be at least 0"));
  CHECK_THROWS_WITH(field("moe.x.k", constantly(9), {1, 8, "moe.experts"}).make(kRun),
                    Catch::Contains("between 1 and 8 (moe.experts)"));
  // Values that are never reached do not matter.
  CHECK(field("moe.x.p", schedule_choice("{kind: linear, from: 0, to: 2, over: 300}"), {0, 1}).make(kRun).largest() <
        1);
  // Another schedule in the same field has the same range.
  ScheduleField other(0.5, {0, 1});
  other = 2;
  CHECK_THROWS_AS(other.make(kRun), UsageError);
}

TEST_CASE("every schedule is a pure function of the update") {
  for (const Member& member : family<Schedule>()) {
    INFO(member.name);
    const auto one = schedule("{kind: " + member.name + ", warmup: 5}"),
               two = schedule("{kind: " + member.name + ", warmup: 5}");
    for (int64_t u = kUpdates; u >= 0; --u) one->at(u);
    for (int64_t u = 0; u <= kUpdates; ++u) CHECK(one->at(u) == two->at(u));
  }
}

TEST_CASE("constant") {
  const auto s = schedule("{kind: constant, value: 0.25, warmup: 4}");
  CHECK(s->at(0) == Approx(0.05));
  CHECK(s->at(3) == Approx(0.2));
  CHECK(s->at(4) == 0.25);
  CHECK(s->at(99) == 0.25);
}

TEST_CASE("linear: the middle and both ends, counted from the end of the warm-up") {
  const auto s = schedule("{kind: linear, from: 1, to: 0.2, over: 60, warmup: 20}");
  CHECK(s->at(20) == 1);
  CHECK(s->at(40) == Approx(0.6));
  CHECK(s->at(59) == Approx(0.22));
  CHECK(s->at(60) == Approx(0.2));
  CHECK(s->at(99) == Approx(0.2));
}

TEST_CASE("linear may rise: a scheduled quantity is not always a learning rate") {
  const auto s = schedule("{kind: linear, from: 2, to: 8, over: 50%}");
  CHECK(s->at(0) == 2);
  CHECK(s->at(25) == Approx(5));
  CHECK(s->at(50) == 8);
}

TEST_CASE("cosine: quarter points of half a cosine") {
  const auto s = schedule("{kind: cosine, from: 1, to: 0.1}");
  CHECK(s->at(0) == 1);
  CHECK(s->at(25) == Approx(0.1 + 0.9 * (0.5 + std::sqrt(0.5) / 2)));
  CHECK(s->at(50) == Approx(0.55));
  CHECK(s->at(100) == Approx(0.1));
  CHECK(s->at(150) == Approx(0.1));
}

TEST_CASE("wsd: stable, then each shape of the decay") {
  for (const auto& [shape, at_quarter] :
       {std::pair{"sqrt", 0.5}, {"linear", 0.75}, {"cosine", 0.5 + std::sqrt(0.5) / 2}}) {
    INFO(shape);
    const auto s = schedule(std::string("{kind: wsd, value: 2, to: 0, decay: 20%, decay_shape: ") + shape + "}");
    CHECK(s->at(0) == 2);
    CHECK(s->at(80) == 2);
    CHECK(s->at(85) == Approx(2 * at_quarter));
    CHECK(s->at(100) == Approx(0).margin(1e-12));
  }
  CHECK(schedule("{kind: wsd, value: 2, decay: 0}")->at(99) == 2);
}

TEST_CASE("step: multiplied at equal intervals") {
  const auto s = schedule("{kind: step, from: 8, factor: 0.5, every: 10}");
  CHECK(s->at(0) == 8);
  CHECK(s->at(9) == 8);
  CHECK(s->at(10) == 4);
  CHECK(s->at(35) == 1);
}

TEST_CASE("inverse root: CompeteSMoE's probability by steps") {
  const auto s = schedule("{kind: inverse_root, every: 10}");
  CHECK(s->at(0) == Approx(2.0 / 3));
  CHECK(s->at(9) == Approx(2.0 / 3));
  CHECK(s->at(10) == Approx(2 / (2 + std::sqrt(2))));
  CHECK(s->at(99) == Approx(2 / (2 + std::sqrt(10))));
  CHECK(schedule("{kind: inverse_root, from: 0.5, offset: 4, every: 10}")->at(30) == Approx(0.5 * 4 / 6));
}

TEST_CASE("power: flat, then the inverse square root") {
  const auto s = schedule("{kind: power, from: 1, exponent: -0.5, after: 4}");
  CHECK(s->at(0) == 1);
  CHECK(s->at(4) == 1);
  CHECK(s->at(16) == Approx(0.5));
  CHECK(s->at(100) == Approx(0.2));
}

TEST_CASE("lengths may be tokens or epochs") {
  CHECK(schedule("{kind: constant, warmup: 640t}")->warmup() == 10);
  CHECK(schedule("{kind: constant, warmup: 2e}")->warmup() == 40);
  CHECK(schedule("{kind: constant, warmup: 3%}")->warmup() == Approx(3));
}

TEST_CASE("table: lines between its points, constant beyond them") {
  const auto s = schedule("{kind: table, at: [10, 30%, 3200t], values: [1, 3, 0.5]}");  // updates 10, 30, 50
  CHECK(s->at(0) == 1);
  CHECK(s->at(10) == 1);
  CHECK(s->at(15) == Approx(1.5));
  CHECK(s->at(30) == 3);
  CHECK(s->at(40) == Approx(1.75));
  CHECK(s->at(50) == 0.5);
  CHECK(s->at(99) == 0.5);
  const auto risen = schedule("{kind: table, at: [10, 20], values: [2, 4], warmup: 4}");
  CHECK(risen->at(0) == Approx(0.4));
  CHECK(risen->at(4) == 2);
}

TEST_CASE("table: with steps a value holds until the next") {
  const auto s = schedule("{kind: table, at: [0, 20, 20.5], values: [1, 3, -2], between: step}");
  CHECK(s->at(19) == 1);
  CHECK(s->at(20) == 3);
  CHECK(s->at(21) == -2);
  CHECK(schedule("{kind: table, at: 5, values: [0.25]}")->at(70) == 0.25);
}

TEST_CASE("table: invalid tables are refused") {
  for (const char* bad :
       {"at: [], values: []", "at: [0, 10], values: [1]", "at: [0], values: [1, 2]",
        "at: [0, 20, 10], values: [1, 2, 3]", "at: [5, 5%], values: [1, 2]", "at: [0, soon], values: [1, 2]"}) {
    INFO(bad);
    CHECK_THROWS_AS(schedule(std::string("{kind: table, ") + bad + "}"), UsageError);
  }
  CHECK_THROWS_WITH(schedule("{kind: table, at: [0, 20, 10%], values: [1, 2, 3]}"),
                    Catch::Contains("'10%'") && Catch::Contains("'20'"));
  CHECK_THROWS_WITH(field("moe.x.p", schedule_choice("{kind: table, at: [0, 5], values: [1]}")).make(kRun),
                    Catch::Contains("moe.x.p: ") && Catch::Contains("as many values as times"));
}

TEST_CASE("the range check finds the peak of a table however narrow it is") {
  const RunLength long_run{100000, 64, 20};
  const auto choice = schedule_choice("{kind: table, at: [0, 50001, 50002, 50003], values: [0, 0, 1, 0]}");
  CHECK(field("p", choice, {0, 1}).make(long_run).largest() == 1);
  CHECK_THROWS_WITH(field("p", choice, {0, 0.5}).make(long_run), Catch::Contains("must be between 0 and 0.5"));
}

TEST_CASE("a table survives a round trip") {
  TrainConfig config;
  read_config(parse_config("train: {learning_rate: {kind: table, at: [0, 5%], values: [0.5, 1e-7]}}", "test"), config);
  TrainConfig again;
  read_config(parse_config(write_yaml(config, false), "test"), again);
  const Scheduled s = again.train.learning_rate.make(kRun);
  CHECK(s.at(0) == 0.5);
  CHECK(s.at(5) == 1e-7);
}
