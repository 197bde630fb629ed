#include "core/study/study_config.h"

#include <filesystem>

#include "core/config/config_reader.h"
#include "core/config/expand_paths.h"
#include "core/config/flat_values.h"
#include "core/config/input_paths.h"
#include "core/step/training_state.h"
#include "core/tasks/task.h"

namespace moe {

ConfigLayers ConfigLayers::with(const std::vector<std::string>& more_settings) const {
  ConfigLayers result = *this;
  result.settings.insert(result.settings.end(), more_settings.begin(), more_settings.end());
  return result;
}

std::vector<std::string> ConfigLayers::arguments() const {
  std::vector<std::string> words;
  for (const std::string& file : files) words.insert(words.end(), {"-c", file});
  for (const std::string& setting : settings) words.insert(words.end(), {"--set", setting});
  return words;
}

TrainConfig ConfigLayers::read() const {
  ConfigNode root;
  root.kind = ConfigNode::Kind::map;
  for (const std::string& file : files) {
    ConfigNode node = read_config_file(file);
    if (is_runs_copy(file)) mark_stored(node);
    merge_config(root, node);
  }
  for (const std::string& setting : settings) apply_override(root, setting);
  TrainConfig config;
  read_config(root, config);
  expand_paths(config);
  locate_inputs(config);
  return config;
}

ConfigCost cost_of(const TrainConfig& config) {
  const auto task = open_task(config);
  const RunLength length = run_length(config, *task);
  const ModelSummary summary = summarise(config, task->shape(), length);
  return {.steps = length.total_updates,
          .tokens_per_step = length.tokens_per_update,
          .flops_per_token = summary.flops_per_token,
          .parameters = summary.parameters,
          .active_parameters = summary.active_parameters};
}

std::map<std::string, std::string> trained_values(TrainConfig config) {
  std::map<std::string, std::string> values = flat_values(config);
  for (const char* key : {"seed", "name", "folder", "config_version", "data.path", "data.path_absolute",
                          "data.tokenizer", "data.tokenizer_absolute"}) {
    values.erase(key);
  }
  return values;
}

StudyConfig StudyConfig::of_file(const std::string& file) {
  const std::string name = std::filesystem::path(file).filename().string();
  return {name.size() > 5 && name.ends_with(".yaml") ? name.substr(0, name.size() - 5) : name, {{file}, {}}};
}

}  // namespace moe
