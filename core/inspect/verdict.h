// What differences from a baseline show, by Student's t over the seeds.
#pragma once
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/inspect/paired_difference.h"

namespace moe {

// The error that a verdict allows: 1 - kConfidence.
constexpr double kAlpha = 1 - kConfidence;

struct Verdict {
  // equivalent: the difference is less than the margin, whatever its sign; diverged: a seed did, so nothing else is
  // said.
  enum class Kind { none, better, worse, equivalent, undecided, diverged };

  Kind kind = Kind::none;
  // The probability of a mean that is so far from 0 (two-sided) if there is no difference, and of one that is so far
  // within the margin if the difference is as large as the margin (the larger of two one-sided tests: Schuirmann 1987).
  // Both after Holm's correction (1979) for the number of configurations. NaN without an interval or a margin.
  double p = std::numeric_limits<double>::quiet_NaN(), p_equivalent = p;
  // Undecided: the number of seeds in all with which it would be decided if mean and scatter stayed as they are; none
  // if that is more than kMostSeeds.
  std::optional<int64_t> seeds_to_decide;
};

constexpr int64_t kMostSeeds = 1000;

// One verdict for each difference. Below 0 is better. `margin`: differences below it do not matter; 0: all do.
std::vector<Verdict> judge_differences(std::span<const PairedDifference> differences, double margin);

std::string name_of(Verdict::Kind kind);

// Holm's correction: values below alpha are significant together with an error of at most alpha for the family. NaN
// values are not part of it.
std::vector<double> holm(std::vector<double> p);

}  // namespace moe
