// The files of a study: study.json, tune.json, sizes and a claim in the queue.
#include <filesystem>

#include "core/inspect/equal_cost.h"
#include "core/inspect/tuning.h"
#include "core/study/claim.h"
#include "core/study/sizes.h"
#include "tests/fuzz/fuzz_target.h"

namespace moe {

static void read_input(std::string_view input) {
  const auto files = parts(input, 4);
  const std::string folder = scratch_folder();
  scratch_file("seed1.claim.0", files[3]);
  claim_owner(folder, "seed1", ClaimSettings());
  std::filesystem::remove(folder + "/seed1.claim.0");
  scratch_file("study.json", files[0]);
  const StudyCosts costs = read_study_costs(folder);
  for (const auto& [name, fixed] : costs.configs) {
    const RunCost run{.config = name, .machine = "here", .updates = 7, .tokens_per_update = 64, .flops_per_token = 1e6};
    cost_differences(costs, run, run);
  }
  const std::vector<Sweep> sweeps = read_tuning(scratch_file("tune.json", files[1]));
  tuning_text(sweeps);
  tuning_notes(sweeps, std::vector<TunedConfig>{{"top2", {{"train.learning_rate.from", "1e-3"}}}});
  require_sizes(read_sizes(scratch_file("sizes.yaml", files[2])));
}

static std::vector<std::string> seeds() {
  const std::string study =
      R"({"equal": "seconds", "baseline": "top2", "machine": "here", "configs": {"top2": {"steps": 750, "step_cost": 1.0,
"tokens_per_step": 4096.0, "flops_per_token": 3e6, "milliseconds": 80.5}}})";
  const std::string tuning =
      R"({"sweeps": [{"config": "top2", "key": "train.learning_rate.from", "sizes": [{"name": "a", "width": 64,
"values": [{"value": 1e-3, "quality": 2.5}, {"value": 2e-3, "quality": 2.4}, {"value": 4e-3, "quality": null}]}],
"exponent": 0.5, "check": {"name": "b", "width": 128, "values": [{"value": 1e-3, "quality": 2}], "predicted": 1e-3,
"holds": true}}]})";
  const std::string sizes =
      "rule: {model.d_model: w, moe.d_ff: 2 * (w + 1) ^ 0.5}\nsizes: [{name: a, w: 64}, {name: b, w: 128, seed: 2}]\n";
  const std::string claim = R"({"host": "h", "process": 7, "started": "today", "machine": "m", "token": "t"})";
  return {joined({study, tuning, sizes, claim}), joined({"{}", "{}", "sizes: []", ""})};
}

static const FuzzTarget target{"study_files", read_input, seeds};

}  // namespace moe
