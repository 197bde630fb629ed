// Calls on the run folder that fail, and kills in place of them.
#include <cstdlib>
#include <iostream>
#include <map>

#include "core/base/check.h"
#include "tests/apps/fault_walk.h"
#include "tests/support/catch.h"

using namespace moe;

// Saves, prunes, evaluates, marks the best and writes records, in as few calls as can be.
static const Arguments kShort{"model.layers=1",         "train.steps=4",  "evaluate.every=2", "checkpoint.every=2",
                              "checkpoint.keep_last=1", "sample.every=3", "sample.tokens=4"};

static void check_outcomes(const std::map<std::string, FaultOutcome>& outcomes, size_t kinds) {
  CHECK(outcomes.size() == kinds);
  for (const auto& [kind, outcome] : outcomes) {
    CAPTURE(kind, outcome.failures);
    CHECK(outcome.trials > 0);
    CHECK(outcome.failures.empty());
  }
}

TEST_CASE("a fault in any call on the run folder costs no result", "[slow]") {
  check_outcomes(walk({.settings = kShort, .kinds = {"kill", "ENOSPC", "torn", "EIO", "short", "kill", "EACCES"}}), 6);
}

// Two events of a step, and experts that the alarm restarts at every step.
static const Arguments kChanging{"model.layers=1",
                                 "train.steps=4",
                                 "checkpoint.every=2",
                                 "checkpoint.keep_last=1",
                                 "evaluate.every=2",
                                 "sample.every=1",
                                 "sample.tokens=4",
                                 "moe.lifecycle=[{kind: grow, at: 3}, {kind: prune, at: 3, count: 2}]",
                                 "moe.alarm={share: 0.01, updates: 1, action: restart}"};

TEST_CASE("a signal at any record costs no record", "[slow]") {
  check_outcomes(walk({.settings = kChanging, .kinds = {"SIGTERM"}, .all = true, .text = R"("type":)"}), 1);
}

// The rest is for scripts/reliability, which runs it for an hour or more and prints these rows as a table.

static void print_row(const std::string& name, const std::string& kind, const FaultOutcome& outcome) {
  std::cout << fmt::format("| {} | {} | {} | {} | {} | {} | {} | {} |\n", name, kind, outcome.trials, outcome.went_on,
                           outcome.refused, outcome.killed, outcome.most_repeated, outcome.failures.size())
            << std::flush;
  CAPTURE(name, kind, outcome.failures);
  CHECK(outcome.failures.empty());
}

static const std::vector<std::string> kKinds{"ENOSPC", "EIO", "EACCES", "short", "torn", "kill"};
static const Arguments kLarger =
    kShort + Arguments{"model.layers=2", "train.steps=9", "moe.lifecycle=[{kind: grow, at: 4}]"};

struct NamedWalk {
  std::string name;
  FaultWalk walk;
};

TEST_CASE("faults in every call, by every kind and rank", "[.reliability]") {
  const std::vector<NamedWalk> walks{
      {"1 rank", {.settings = kShort, .kinds = kKinds, .all = true}},
      {"1 rank, the fault lasts", {.settings = kShort, .kinds = {"ENOSPC", "EIO"}, .all = true, .lasts = true}},
      {"1 rank, larger, experts grow", {.settings = kLarger, .kinds = kKinds}},
      {"2 ranks", {.ranks = 2, .settings = kShort, .kinds = kKinds}},
  };
  for (const auto& [name, faults] : walks) {
    for (const auto& [kind, outcome] : walk(faults)) print_row(name, kind, outcome);
  }
}

TEST_CASE("kills at random times, on one and two ranks", "[.reliability]") {
  const char* kills = std::getenv("MOE_RELIABILITY_KILLS");
  for (const int ranks : {1, 2}) {
    const FaultWalk faults{.ranks = ranks, .settings = kLarger};
    print_row(fmt::format("{} rank{}, experts grow", ranks, ranks == 1 ? "" : "s"), "SIGKILL at a random time",
              kill_by_time(faults, kills ? std::atoll(kills) : 100, 1));
  }
}
