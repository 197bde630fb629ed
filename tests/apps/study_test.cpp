// moe-study compare: several processes, killed ones, and equal costs. tests/apps/compare_test.cpp has the rest.
#include <algorithm>
#include <cmath>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <functional>
#include <optional>

#include "core/base/json_text.h"
#include "core/base/text.h"
#include "core/record/run_lock.h"
#include "tests/apps/study_place.h"
#include "tests/support/catch.h"

using namespace moe;
namespace fs = std::filesystem;

// How often the lines "[2/4] NAME (" of several processes name a run.
static int64_t times_trained(const std::string& messages, const std::string& run) {
  int64_t count = 0;
  for (const std::string& line : split(messages, '\n'))
    count += line.starts_with("[") && line.find("] " + run + " (") != line.npos;
  return count;
}

TEST_CASE("two processes share the seeds of a comparison and print the same results") {
  const StudyPlace place;
  // A training begins when there are two, which are those of both processes.
  const std::string programs =
      place.programs("echo >>\"$0.calls\"; while [ $(wc -l <\"$0.calls\") -lt 2 ]; do sleep 0.02; done");
  const Arguments command = place.compare("1 2 3", {"one.yaml", "other.yaml"});
  ChildProcess first(command, with_programs(programs)), second(command, with_programs(programs));
  const Finished a = first.wait(), b = second.wait();
  INFO(a.err << b.err);
  REQUIRE(a.code == 0);
  REQUIRE(b.code == 0);
  CHECK(a.out == b.out);
  CHECK_THAT(a.out, Catch::Contains("2 configurations, 6 runs"));
  for (const std::string seed : {"1", "2", "3"}) {
    // A seed's runs are made by one process.
    CHECK(times_trained(a.err, "one-seed" + seed) == times_trained(a.err, "other-seed" + seed));
    for (const std::string name : {"one", "other"}) CHECK(times_trained(a.err + b.err, name + "-seed" + seed) == 1);
  }
}

TEST_CASE("a process waits for the seeds of others, or ends, and takes over those of one that was killed") {
  const StudyPlace place;
  // The first training of all never ends.
  const std::string programs =
      place.programs("echo >>\"$0.calls\"; [ $(wc -l <\"$0.calls\") -ne 1 ] || { echo hangs >&2; exec sleep 100000; }");
  const Arguments command = place.compare("1 2", {"one.yaml", "other.yaml"});
  ChildProcess first(command, with_programs(programs));
  REQUIRE(first.wait_for("hangs"));
  const Finished ended = run_child(command + Arguments{"--no-wait"}, with_programs(programs));
  INFO(ended.err);
  CHECK(ended.code == 0);
  CHECK_THAT(ended.err, Catch::Contains("other processes are training seed1"));
  CHECK(fs::exists(place.run("one-seed2/manifest.json")));
  CHECK_FALSE(fs::exists(place.runs() + "/compare.json"));

  ChildProcess second(command, with_programs(programs));
  REQUIRE(second.wait_for("waiting for them"));
  first.signal(SIGKILL);
  CHECK(first.wait().code == -SIGKILL);
  const Finished rest = second.wait();
  INFO(rest.err);
  CHECK(rest.code == 0);
  CHECK_THAT(rest.out, Catch::Contains("2 configurations, 4 runs"));
}

TEST_CASE("a comparison that was killed during a training goes on with the same command") {
  const StudyPlace place;
  const Arguments command = place.compare("1", {"one.yaml", "other.yaml"}, {"--set", "train.steps=20000"});
  ChildProcess killed(command, with_programs());
  REQUIRE(killed.wait_for("step     20/"));
  killed.signal(SIGKILL);
  CHECK(killed.wait().code == -SIGKILL);
  const Finished rest = run_child(command, with_programs());
  INFO(rest.err);
  CHECK(rest.code == 0);
  CHECK_THAT(rest.out, Catch::Contains("2 configurations, 2 runs"));
}

TEST_CASE("with equal operations the steps are fixed before the first run, and another setting is refused") {
  const StudyPlace place;
  const Finished made = run_child(
      place.compare("1 2", {"one.yaml", "other.yaml"}, {"--equal", "flops", "--costs", "2 0.5"}), with_programs());
  INFO(made.err);
  REQUIRE(made.code == 0);
  const Json study = parse_json(read_file(place.runs() + "/study.json"));
  CHECK(study["equal"] == "flops");
  CHECK(study["configs"]["one"]["steps"] == 20);
  const double ratio = study["configs"]["one"]["flops_per_token"].get<double>() /
                       study["configs"]["other"]["flops_per_token"].get<double>();
  CHECK(study["configs"]["other"]["steps"].get<double>() == Approx(std::round(20 * ratio)));
  CHECK_THAT(made.out, Catch::Contains("the runs have equal FLOPs, to within one step") &&
                           Catch::Contains("2 configurations, 4 runs"));
  const auto updates = [&](const std::string& run) {
    return parse_json(read_file(place.run(run + "/manifest.json")))["updates"].get<int64_t>();
  };
  CHECK(updates("other-seed2") == study["configs"]["other"]["steps"].get<int64_t>());
  CHECK(updates("costs/0.5/one-seed1") == 10);
  CHECK(updates("costs/2/one-seed2") == 40);
  CHECK_FALSE(fs::exists(place.run("costs/2/other-seed1")));

  // A run whose cost is another is left out.
  const std::string file = place.run("study.json"), whole = read_file(file);
  Json changed = study;
  changed["configs"]["other"]["steps"] = 19;
  std::ofstream(file) << json_text(changed);
  const Finished unfair = run_child(program("moe-inspect") + Arguments{"compare", place.runs()});
  CHECK(unfair.code == 4);
  CHECK_THAT(unfair.out, Catch::Contains("other-seed1: updates 16 instead of 19 (study.json)"));
  std::ofstream(file) << whole;

  // Another call adds a configuration to those that are fixed.
  REQUIRE(run_child(place.compare("1", {"same.yaml"}), with_programs()).code == 0);
  CHECK(updates("same-seed1") == 20);
  for (const auto& [options, words] :
       std::vector<std::pair<Arguments, std::string>>{{{"--set", "train.steps=30"}, "train.steps: 20 -> 30"},
                                                      {{"--set", "train.batch=8"}, "train.batch: 4 -> 8"},
                                                      {{"--equal", "tokens"}, "equal flops"},
                                                      {{"--equal", "seconds"}, "equal flops"}}) {
    const Finished refused = run_child(place.compare("1", {"one.yaml"}, options), with_programs());
    INFO(refused.err);
    CHECK(refused.code == 2);
    CHECK_THAT(refused.err, Catch::Contains(words));
  }
}

TEST_CASE("with equal seconds the steps follow from times that were measured in turns") {
  const StudyPlace place;
  const Finished made =
      run_child(place.compare("1", {"one.yaml", "other.yaml"}, {"--equal", "seconds"}), with_programs());
  INFO(made.err);
  REQUIRE(made.code == 0);
  CHECK_THAT(made.err, Catch::Contains("timing the steps of 2 configurations, round 3 of 3"));
  const auto check = [&](const std::string& name) {
    const Json study = parse_json(read_file(place.runs() + "/study.json"));
    const Json& fixed = study["configs"][name];
    CHECK(fixed["milliseconds"].get<double>() > 0);
    CHECK(fixed["steps"].get<double>() == std::max(1.0, std::round(20 / fixed["step_cost"].get<double>())));
  };
  check("one");
  check("other");
  CHECK_FALSE(fs::exists(place.runs() + "/study/times"));
  // The baseline is measured again with a configuration that is added, though this call does not name it.
  const Finished more = run_child(place.compare("1", {"same.yaml"}), with_programs());
  INFO(more.err);
  REQUIRE(more.code == 0);
  CHECK_THAT(more.err, Catch::Contains("timing the steps of 2 configurations, round 1 of 3"));
  check("same");
}

TEST_CASE("multiples of the baseline's cost are checked before anything is trained") {
  const StudyPlace place;
  for (const char* costs : {"1", "0", "-2", "x", "2x"}) {
    const Finished refused = run_child(place.compare("1", {"one.yaml"}, {"--costs", costs}), with_programs());
    INFO(refused.err);
    CHECK(refused.code == 2);
    CHECK_FALSE(fs::exists(place.runs()));
  }
}

TEST_CASE("a plan says how many seeds show a difference, from the scatter of a pilot") {
  const StudyPlace place;
  const Arguments plan{"--plan", "0.01"};
  const Finished nothing = run_child(place.compare("1", {"one.yaml", "other.yaml"}, plan), with_programs());
  CHECK(nothing.code == 2);
  CHECK_THAT(nothing.err, Catch::Contains("train a pilot first"));
  REQUIRE(run_child(place.compare("1 2", {"one.yaml"}, {"--costs", "2"}), with_programs()).code == 0);
  // Without pairs, two seeds of one configuration show the scatter, and steps are timed where no run shows their time.
  const Finished seeds = run_child(place.compare("1", {"one.yaml", "other.yaml"}, plan), with_programs());
  INFO(seeds.err << seeds.out);
  CHECK(seeds.code == 0);
  CHECK_THAT(seeds.out, Catch::Contains("seeds of one configuration, times sqrt(2)"));
  CHECK_THAT(seeds.err, Catch::Contains("timing the steps of 2 configurations"));
  CHECK_FALSE(fs::exists(place.run("other-seed1")));

  REQUIRE(run_child(place.compare("1 2 3", {"one.yaml", "other.yaml"}), with_programs()).code == 0);
  const Finished paired = run_child(place.compare("1", {"one.yaml", "other.yaml", "same.yaml"}, plan), with_programs());
  INFO(paired.err << paired.out);
  CHECK(paired.code == 0);
  CHECK_THAT(paired.out, Catch::Contains("paired differences of other") && Catch::Contains("by 2 degrees of freedom") &&
                             Catch::Contains("of 2") && Catch::Contains("\n1 ") && Catch::Contains("\n2 "));
  const Finished again = run_child(place.compare("1", {"one.yaml", "other.yaml"}, plan), with_programs());
  CHECK(again.err.empty());  // nothing is timed: both have runs of this machine
}

TEST_CASE("the seeds of a process that was killed on another machine are taken over when its claim expires") {
  const StudyPlace place;
  const std::string programs =
      place.programs("echo >>\"$0.calls\"; [ $(wc -l <\"$0.calls\") -ne 1 ] || { echo hangs >&2; exec sleep 100000; }");
  const Arguments command = place.compare("1", {"one.yaml", "other.yaml"});
  ChildProcess first(command, with_programs(programs));
  REQUIRE(first.wait_for("hangs"));
  first.signal(SIGKILL);
  CHECK(first.wait().code == -SIGKILL);
  // Its locks would not be seen from another machine, which has another kernel.
  const std::string claim = place.run("queue/seed1.claim.0");
  Json record = parse_json(read_file(claim));
  record["machine"] = "another";
  std::ofstream(claim) << json_text(record);
  CHECK_THAT(run_child(command + Arguments{"--no-wait"}, with_programs()).err,
             Catch::Contains("other processes are training seed1"));
  const Finished second = run_child(command, [&] {
    with_programs(programs)();
    ::setenv("MOE_STUDY_CLAIM_SECONDS", "0.1,1", 1);
  });
  INFO(second.err);
  CHECK(second.code == 0);
  CHECK_THAT(second.out, Catch::Contains("2 configurations, 2 runs"));
  CHECK_FALSE(fs::exists(claim));
  CHECK_FALSE(fs::exists(place.run("queue/seed1.claim.1")));
}

TEST_CASE("a run whose folder is locked is not started before the lock is free") {
  const StudyPlace place;
  std::optional<RunLock> lock(place.run("one-seed1"));
  ChildProcess study(place.compare("1", {"one.yaml", "other.yaml"}), with_programs());
  REQUIRE(study.wait_for("one-seed1 is still in use by another process"));
  lock.reset();
  const Finished result = study.wait();
  INFO(result.err);
  CHECK(result.code == 0);
  CHECK_THAT(result.out, Catch::Contains("2 configurations, 2 runs"));
}

TEST_CASE("a signal ends a process that waits for another") {
  const StudyPlace place;
  const Arguments command = place.compare("1", {"one.yaml"});
  ChildProcess first(command, with_programs(place.programs("echo holds >&2; exec sleep 100000")));
  REQUIRE(first.wait_for("holds"));
  ChildProcess second(command, with_programs());
  REQUIRE(second.wait_for("waiting for them"));
  second.signal(SIGINT);
  const Finished waited = second.wait();
  CHECK(waited.code == 128 + SIGINT);
  CHECK_THAT(waited.err, Catch::Contains("interrupted; run the same command again"));
  first.signal(SIGTERM);
  CHECK(first.wait().code == 128 + SIGTERM);
  CHECK_FALSE(fs::exists(place.run("queue/seed1.claim.0")));
}

TEST_CASE("a signal while steps are timed leaves nothing that was fixed") {
  const StudyPlace place;
  const Arguments command = place.compare("1", {"one.yaml", "other.yaml"}, {"--equal", "seconds"});
  ChildProcess timed(command, with_programs(place.programs("echo times >&2; exec sleep 100000")));
  REQUIRE(timed.wait_for("round 1 of 3\ntimes"));
  timed.signal(SIGTERM);
  CHECK(timed.wait().code == 128 + SIGTERM);
  CHECK_FALSE(fs::exists(place.run("study.json")));
  const Finished whole = run_child(command, with_programs());
  INFO(whole.err);
  CHECK(whole.code == 0);
}
