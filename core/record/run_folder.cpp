#include "core/record/run_folder.h"

#include <algorithm>
#include <filesystem>
#include <functional>
#include <map>
#include <string_view>

#include "core/base/json_text.h"
#include "core/base/log.h"
#include "core/base/text.h"
#include "core/checkpoint/files.h"
#include "core/config/config_reader.h"
#include "core/config/config_versions.h"
#include "core/config/config_writer.h"
#include "core/config/flat_values.h"
#include "core/config/input_paths.h"
#include "core/record/metrics.h"

namespace moe {

namespace fs = std::filesystem;

bool may_differ(const std::string& key) {
  for (const char* prefix :
       {"name", "folder", "config_version", "device", "precision", "parallel.", "evaluate.", "checkpoint.", "log.",
        "trace.", "sample.", "train.steps", "train.extend", "train.time_limit", "train.micro_batches",
        "model.recompute", "optimizer.shard", "data.path", "data.tokenizer_absolute"}) {
    if (key.rfind(prefix, 0) == 0) return true;
  }
  return false;
}

// Whether `key` is `outer` or a key within it: optimizer.beta1 is within optimizer.
static bool is_within(const std::string& key, const std::string& outer) {
  return key == outer || (key.rfind(outer, 0) == 0 && key[outer.size()] == '.');
}

// The keys that a run may go on with other values of, and keys within them that it may not.
struct ChangeRule {
  const char* key;
  const char* why_fixed;  // null: it may be changed
};
static constexpr ChangeRule kChangeRules[] = {
    {"train.learning_rate", nullptr},
    {"train.clip_norm", nullptr},
    {"train.label_smoothing", nullptr},
    {"train.batch", nullptr},
    {"optimizer", nullptr},
    {"optimizer.kind", "another optimizer keeps other states; start a new run with init.from"},
    {"data.path", nullptr},
    {"data.augment", nullptr},
    {"model.dropout", nullptr},
    {"model.hidden_dropout", nullptr},
    {"model.layer_dropout", nullptr},
    {"model.attention.dropout", nullptr},
    {"moe.balance", nullptr},
    {"moe.alarm", nullptr},
    {"train", "it decides what an update computes"},
    {"task", "another task has another model"},
    {"seed", "the samples that were drawn follow from it"},
    {"data", "it decides the samples and their tokens"},
    {"curriculum", "the samples that were drawn and the difficulty store follow from it"},
    {"init", "it takes effect before the first update only"},
    {"model", "it decides the shape or the function of the model"},
    {"moe", "it decides the shape or the function of the model"},
};

std::optional<std::string> why_fixed(const std::string& key) {
  if (may_differ(key)) return std::nullopt;
  const ChangeRule* rule = nullptr;  // the innermost that contains the key
  for (const ChangeRule& r : kChangeRules) {
    if (is_within(key, r.key) && (!rule || std::string_view(r.key).size() > std::string_view(rule->key).size()))
      rule = &r;
  }
  if (!rule) return "it is no key that a run may go on with another value of";
  return rule->why_fixed ? std::optional<std::string>(rule->why_fixed) : std::nullopt;
}

std::vector<ConfigDifference> config_differences(const ConfigNode& one, const ConfigNode& other) {
  static const std::string kNothing = "(absent)";
  const auto before = flat_values(one), after = flat_values(other);
  std::vector<ConfigDifference> differences;
  for (const auto& [key, value] : after) {
    const auto it = before.find(key);
    if (!may_differ(key) && (it == before.end() || it->second != value)) {
      differences.push_back({key, it == before.end() ? kNothing : it->second, value});
    }
  }
  for (const auto& [key, value] : before) {
    if (!may_differ(key) && !after.count(key)) differences.push_back({key, value, kNothing});
  }
  return differences;
}

ConfigNode complete_config(const std::string& folder) {
  TrainConfig config = load_run_config(folder);
  return parse_config(write_yaml(config, false, Constants::as_schedules), folder + "/config.yaml");
}

// A key is changed if it or a key that contains it was named.
static bool is_changed(const std::string& key, const std::vector<std::string>& changed) {
  return std::any_of(changed.begin(), changed.end(), [&](const std::string& c) { return is_within(key, c); });
}

// A name is a relative path that stays below the folder of runs, and can be printed.
static void check_name(const TrainConfig& config) {
  const std::string& name = config.name;
  const auto refuse = [&](const char* why) {
    raise<UsageError>("{} '{}': {}; choose a name such as run-1", config.where("name"), name, why);
  };
  if (name.empty()) refuse("is empty");
  if (std::any_of(name.begin(), name.end(), [](unsigned char c) { return c < 0x20 || c == 0x7F; }))
    refuse("has control characters");
  for (const std::string& part : split(name, '/')) {
    if (part.empty()) refuse("begins or ends with a slash, or has two in a row");
    if (part == "." || part == "..") refuse("would leave the folder of runs (the key `folder`)");
  }
}

RunFolder::RunFolder(const TrainConfig& config)
    : path_((check_name(config), config.run_folder())), checkpoints_(path_ + "/checkpoints") {}

void RunFolder::check_mode(ResumeMode mode, const std::vector<int64_t>& steps) const {
  const std::string records = path_ + "/metrics.jsonl";
  if (const auto recorded = steps.empty() ? recorded_checkpoint(records) : std::nullopt) {
    raise<CheckpointError>(
        "{}/checkpoints holds no complete checkpoint, but {} tells of one of step {}. Is a disk not mounted? To start "
        "again, remove {} or choose another name",
        path_, records, *recorded, records);
  }
  if (mode == ResumeMode::must && steps.empty())
    raise<CheckpointError>("--resume must: {} holds no complete checkpoint", path_);
  if (mode == ResumeMode::never && !steps.empty()) {
    raise<CheckpointError>("--resume never: {} holds checkpoints up to step {}; choose another name or delete it",
                           path_, steps.back());
  }
}

std::vector<ConfigDifference> RunFolder::check_config(TrainConfig& config, int64_t step,
                                                      const std::vector<std::string>& changed) const {
  const ConfigNode now = parse_config(write_yaml(config, false, Constants::as_schedules), "now");
  const ConfigNode then = complete_config(checkpoints_.path(step));
  std::vector<ConfigDifference> changes;
  std::vector<std::string> lines;
  for (const ConfigDifference& d : config_differences(then, now)) {
    if (is_changed(d.key, changed))
      changes.push_back(d);
    else
      lines.push_back(d.to_string());
  }
  if (!lines.empty()) {
    raise<CheckpointError>(
        "{} holds a run with another configuration; choose another name, make these keys agree, or go on with a new "
        "value by --resume must --change KEY=VALUE:\n  {}",
        path_, join(lines, "\n  "));
  }
  return changes;
}

std::optional<int64_t> RunFolder::config_version() const {
  const std::optional<int64_t> last = checkpoints_.last();
  if (!last) return std::nullopt;
  try {
    return load_run_config(checkpoints_.path(*last)).config_version;
  } catch (const CheckpointError&) {
    return std::nullopt;  // the trainer says what is wrong with it
  }
}

void RunFolder::prepare(TrainConfig& config) const {
  make_folder(path_ + "/checkpoints");
  replace_text(path_ + "/config.yaml", write_yaml(config, false));
}

Json RunFolder::manifest() const {
  const std::string file = path_ + "/manifest.json";
  Json manifest = file_exists(file) ? parse_json_or_null(read_text(file)) : Json();
  return manifest.is_object() ? manifest : Json();
}

void RunFolder::write_manifest(Json manifest, const Json& session) const {
  const std::string file = path_ + "/manifest.json";
  auto sessions = Json::array();
  if (const int64_t from = session.at("from"); from > 0 && file_exists(file)) {
    const auto before = parse_json_or_null(read_text(file));
    if (!before.is_object()) log::warn("{} is damaged; it is written again, without the earlier sessions", file);
    const Json* earlier = before.find("sessions");
    if (earlier && earlier->is_array()) {
      for (const Json& s : *earlier) {
        const Json* start = s.find("from");
        if (start && start->is_integer() && start->get<int64_t>() < from) sessions.push_back(s);
      }
    }
  }
  sessions.push_back(session);
  manifest["sessions"] = std::move(sessions);
  replace_text(file, json_text(manifest, 2) + "\n");
}

TrainConfig load_run_config(const std::string& folder, const std::vector<std::string>& settings) {
  const std::string file = folder + "/config.yaml";
  if (!file_exists(file)) raise<CheckpointError>("{} holds no config.yaml: it is not a run or checkpoint", folder);
  TrainConfig config;
  ConfigNode root;
  try {
    root = parse_config(read_text(file), file);
    mark_stored(root);
    read_config(root, config);
    locate_again(config.data);
  } catch (const UsageError& error) {
    throw CheckpointError(error.what());
  }
  if (settings.empty()) return config;
  for (const std::string& setting : settings) apply_override(root, setting);
  TrainConfig changed;
  read_config(root, changed);
  if (changed.data.path == config.data.path)
    locate_again(changed.data);
  else
    changed.data.path_absolute.clear();
  return changed;
}

}  // namespace moe
