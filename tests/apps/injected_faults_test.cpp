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

// For scripts/reliability, which runs it for hours. MOE_RELIABILITY_KILLS: kills at random times for each run.
TEST_CASE("faults in every call, by every kind and rank", "[.reliability]") {
  const std::vector<std::string> kinds{"ENOSPC", "EIO", "EACCES", "short", "torn", "kill"};
  const char* kills = std::getenv("MOE_RELIABILITY_KILLS");
  const int64_t trials = kills ? std::atoll(kills) : 100;
  struct Case {
    std::string name;
    FaultWalk walk;
  };
  const Arguments larger = kShort + Arguments{"model.layers=2", "train.steps=9",
                                              "moe.lifecycle=[{kind: grow, at: 4, "
                                              "experts: 8}]"};
  const std::vector<Case> cases{
      {"1 rank", {.settings = kShort, .kinds = kinds, .all = true}},
      {"1 rank, the fault lasts", {.settings = kShort, .kinds = {"ENOSPC", "EIO"}, .all = true, .lasts = true}},
      {"1 rank, larger, experts grow", {.settings = larger, .kinds = kinds}},
      {"2 ranks", {.ranks = 2, .settings = kShort, .kinds = kinds}},
  };
  for (const auto& [name, faults] : cases) {
    auto outcomes = walk(faults);
    if (!faults.lasts) outcomes["SIGKILL at a random time"] = kill_by_time(faults, trials, 1);
    for (const auto& [kind, outcome] : outcomes) {
      std::cout << fmt::format("| {} | {} | {} | {} | {} | {} | {} | {} |\n", name, kind, outcome.trials,
                               outcome.went_on, outcome.refused, outcome.killed, outcome.most_repeated,
                               outcome.failures.size())
                << std::flush;
      for (const std::string& failure : outcome.failures) UNSCOPED_INFO(name << ": " << failure);
      CHECK(outcome.failures.empty());
    }
  }
}
