// Walks over the calls that a short run makes on its folder: each of them fails once, or is where the process is killed
// (tests/faults). After it the same command must end as if nothing had been.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "tests/apps/programs.h"

namespace moe {

struct FaultWalk {
  int ranks = 1;
  Arguments settings{};              // of the run, besides those of tiny_train()
  std::vector<std::string> kinds{};  // MOE_FAULT_KIND
  // Every call by every kind. Otherwise each call has one of the kinds, in turns, and of several equal calls in a row
  // (writes to one file) the first and the last are tried.
  bool all = false;
  bool lasts = false;  // the fault stays, as a full disk does
  std::string text{};  // only writes of something that contains this text
};

// What became of the trials with one kind of fault.
struct FaultOutcome {
  int64_t trials = 0;
  int64_t went_on = 0, refused = 0, killed = 0;  // exit 0, exit 4, ended by SIGKILL or SIGTERM
  int64_t most_repeated = 0;                     // updates that were made again, at most
  std::vector<std::string> failures{};           // one text each
};

// By kind. Runs the program two times for every trial.
std::map<std::string, FaultOutcome> walk(const FaultWalk& walk);

// The same for SIGKILL after times that are drawn from `seed`, at most as long as a whole run takes.
FaultOutcome kill_by_time(const FaultWalk& walk, int64_t trials, uint64_t seed);

}  // namespace moe
