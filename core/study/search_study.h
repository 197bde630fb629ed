// scripts/search: successive halving over combinations of values (Jamieson and Talwalkar, 2016).
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "core/inspect/compared_run.h"
#include "core/study/compare_study.h"

namespace moe {

struct SearchOptions {
  CompareOptions compare;          // without configurations
  std::string steps;               // length of the first round: 500, 2Mt, 1e
  int64_t keep = 3, rounds = 100;  // the best 1 of `keep` is in the next round
  ComparedAt at = ComparedAt::last;
  std::vector<std::string> grid;  // KEY=V1|V2|...
};

// Trains what is not trained, prints the table and returns the program's exit code. Throws UsageError, CheckpointError.
int run_search(const SearchOptions& options);

}  // namespace moe
