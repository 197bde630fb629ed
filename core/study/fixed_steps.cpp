#include "core/study/fixed_steps.h"

#include <algorithm>

#include "core/base/check.h"
#include "core/base/text.h"
#include "core/checkpoint/files.h"
#include "core/config/config_writer.h"
#include "core/study/step_times.h"

namespace moe {
namespace {

// The study's copy of a configuration.
std::string copy_of(const std::string& folder, const std::string& name) {
  return folder + "/study/" + name + ".yaml";
}

void keep_copy(const std::string& folder, const StudyConfig& config) {
  TrainConfig whole = config.layers.read();
  whole.data.path = whole.data.location();
  whole.data.path_absolute.clear();
  whole.data.tokenizer = whole.data.tokenizer_location();
  whole.data.tokenizer_absolute.clear();
  make_folder(folder + "/study");
  replace_shared_text(copy_of(folder, config.name), write_yaml(whole, false));
}

// Throws UsageError if the configuration is not the one that the study has under its name.
void require_unchanged(const std::string& folder, const StudyConfig& config) {
  const auto now = trained_values(config.layers.read());
  const auto before = trained_values(ConfigLayers{{copy_of(folder, config.name)}, {}}.read());
  std::vector<std::string> differences;
  const auto value = [](const auto& values, const std::string& key) {
    const auto it = values.find(key);
    return it == values.end() ? std::string("absent") : it->second;
  };
  for (const auto* values : {&before, &now}) {
    for (const auto& [key, ignored] : *values) {
      if (value(before, key) == value(now, key) || (values == &now && before.contains(key))) continue;
      differences.push_back(fmt::format("{}: {} -> {}", key, value(before, key), value(now, key)));
    }
  }
  if (differences.empty()) return;
  raise<UsageError>("{}: the steps of {} were fixed for other settings: {}; give another folder", folder, config.name,
                    join(differences, ", "));
}

class StepFixer {
 public:
  explicit StepFixer(const FixRequest& request) : request_(request), costs_(read_study_costs(request.folder)) {
    if (costs_.configs.empty())
      costs_ = {.equal = request.equal, .baseline = request.baseline, .machine = "", .configs = {}};
  }

  std::optional<StudyCosts> fix() {
    std::vector<const StudyConfig*> added;
    for (const StudyConfig& config : request_.configs) {
      if (costs_.configs.contains(config.name))
        require_unchanged(request_.folder, config);
      else
        added.push_back(&config);
    }
    if (added.empty()) return costs_;
    // The baseline comes first, since the others refer to it.
    std::stable_partition(added.begin(), added.end(),
                          [&](const StudyConfig* config) { return config->name == costs_.baseline; });
    for (const StudyConfig* config : added) add(*config);
    if (costs_.equal == EqualCost::seconds && !measure(added)) return std::nullopt;
    for (const StudyConfig* config : added) keep_copy(request_.folder, *config);
    write_study_costs(costs_, request_.folder);
    return costs_;
  }

 private:
  const FixedSteps& baseline() const { return costs_.configs.at(costs_.baseline); }

  // With equal operations.
  void add(const StudyConfig& config) {
    const ConfigCost cost = cost_of(config.layers.read());
    FixedSteps fixed{.steps = cost.steps,
                     .step_cost = 1,
                     .tokens_per_step = cost.tokens_per_step,
                     .flops_per_token = cost.flops_per_token};
    if (config.name != costs_.baseline) {
      const FixedSteps& base = baseline();
      fixed.step_cost = fixed.tokens_per_step * fixed.flops_per_token / (base.tokens_per_step * base.flops_per_token);
      fixed.steps = steps_of_equal_cost(base.steps, fixed.step_cost);
    }
    costs_.configs[config.name] = fixed;
  }

  // With equal seconds, besides. The baseline is measured again with each addition.
  bool measure(const std::vector<const StudyConfig*>& added) {
    std::vector<StudyConfig> timed{{costs_.baseline, ConfigLayers{{copy_of(request_.folder, costs_.baseline)}, {}}}};
    for (const StudyConfig* config : added) {
      if (config->name == costs_.baseline)
        timed[0].layers = config->layers;
      else
        timed.push_back({config->name, config->layers});
    }
    const auto times = measure_step_times(timed, request_.folder + "/study/times", request_.ranks, request_.seed);
    if (!times) return false;
    if (!costs_.machine.empty() && costs_.machine != times->machine) {
      raise<UsageError>(
          "{}: the times of steps were measured on {}, and this is {}; with equal seconds all runs are "
          "made on one machine",
          request_.folder, costs_.machine, times->machine);
    }
    costs_.machine = times->machine;
    for (const StudyConfig* config : added) {
      FixedSteps& fixed = costs_.configs.at(config->name);
      fixed.step_cost = times->relative.at(config->name);
      fixed.milliseconds = times->milliseconds.at(config->name);
      if (config->name != costs_.baseline) fixed.steps = steps_of_equal_cost(baseline().steps, fixed.step_cost);
    }
    return true;
  }

  const FixRequest& request_;
  StudyCosts costs_;
};

}  // namespace

std::optional<StudyCosts> fix_steps(const FixRequest& request) {
  return StepFixer(request).fix();
}

}  // namespace moe
