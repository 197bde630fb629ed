// Few-shot accuracies of runs, as a table and as JSON. Runs NAME-seedN with the same NAME are seeds of one
// configuration; the first configuration is the one that the others are compared with, seed by seed.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "core/base/json.h"
#include "core/evaluate/few_shot.h"

namespace moe {

struct FewShotRun {
  std::string config;  // the run's name without "-seedN"
  int64_t seed = 0;    // 0: the name has none
  std::string checkpoint;
  std::vector<FewShotAccuracy> results;  // the same numbers of labels and draws in all runs
};

// "runs/a-seed2" -> {"a", 2}.
FewShotRun few_shot_run(const std::string& folder);

// Intervals are of 95 % by Student's t: over seeds where there are several, else over draws, which the text says.
std::string few_shot_text(const std::vector<FewShotRun>& runs);
Json few_shot_json(const std::vector<FewShotRun>& runs);

}  // namespace moe
