// scripts/compare: trains configurations with the same seeds and compares them (docs/comparing.md).
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "core/study/study_config.h"

namespace moe {

struct CompareOptions {
  std::string folder, seeds;                // seeds: whole numbers with spaces between them
  std::vector<std::string> base, settings;  // files below, and settings above each configuration
  std::vector<StudyConfig> configs;         // layers between the two
  int64_t ranks = 1, copies = 0;            // copies: with initial values that differ by rounding errors
  std::string equal;                        // tokens, flops or seconds; empty: as the folder has it, or tokens
  std::string costs;                        // multiples of the baseline's steps, with spaces between them
  std::string tuned;                        // folder of scripts/tune, whose result the comparison reads
  bool quiet = false, waits = true;
  std::string report;  // file of the printed comparison; empty: standard output
};

struct CompareResult {
  int code = 0;             // exit code of the program
  bool is_complete = true;  // otherwise other processes still train, and nothing was compared
};

// Trains what is not trained and prints the comparison. Throws UsageError for options that cannot be, before
// anything is written.
CompareResult run_compare(const CompareOptions& options);

// The whole numbers of a list with spaces. Throws UsageError that names the option.
std::vector<std::string> whole_numbers(const std::string& list, const std::string& option);

}  // namespace moe
