#include "core/record/run_folder.h"

#include <filesystem>
#include <functional>
#include <map>

#include "core/base/json_text.h"
#include "core/base/log.h"
#include "core/base/text.h"
#include "core/checkpoint/files.h"
#include "core/config/config_reader.h"
#include "core/config/config_versions.h"
#include "core/config/config_writer.h"
#include "core/config/input_paths.h"

namespace moe {

namespace fs = std::filesystem;

// Keys that do not change the computation; they may differ between a run and its continuation.
static bool is_free(const std::string& key) {
  for (const char* prefix : {"name", "folder", "device", "precision", "parallel.", "evaluate.", "checkpoint.", "log.",
                             "sample.", "train.steps", "train.micro_batches", "data.path", "data.tokenizer_absolute"}) {
    if (key.rfind(prefix, 0) == 0) return true;
  }
  return false;
}

static std::map<std::string, std::string> flatten(const ConfigNode& node, const std::string& path = "") {
  std::map<std::string, std::string> result;
  if (node.kind == ConfigNode::Kind::scalar) result[path] = node.scalar;
  for (size_t i = 0; i < node.items.size(); ++i) result.merge(flatten(node.items[i], fmt::format("{}.{}", path, i)));
  for (const auto& [key, value] : node.entries) result.merge(flatten(value, path.empty() ? key : path + "." + key));
  return result;
}

std::vector<ConfigDifference> config_differences(const ConfigNode& one, const ConfigNode& other) {
  static const std::string kNothing = "(absent)";
  const auto before = flatten(one), after = flatten(other);
  std::vector<ConfigDifference> differences;
  for (const auto& [key, value] : after) {
    const auto it = before.find(key);
    if (!is_free(key) && (it == before.end() || it->second != value)) {
      differences.push_back({key, it == before.end() ? kNothing : it->second, value});
    }
  }
  for (const auto& [key, value] : before) {
    if (!is_free(key) && !after.count(key)) differences.push_back({key, value, kNothing});
  }
  return differences;
}

ConfigNode complete_config(const std::string& folder) {
  TrainConfig config = load_run_config(folder);
  return parse_config(write_yaml(config, false, Constants::as_schedules), folder + "/config.yaml");
}

std::optional<int64_t> RunFolder::step_to_resume(TrainConfig& config, ResumeMode mode,
                                                 std::optional<int64_t> last) const {
  if (!last) {
    if (mode == ResumeMode::must) raise<CheckpointError>("--resume must: {} holds no complete checkpoint", path_);
    return std::nullopt;
  }
  if (mode == ResumeMode::never) {
    raise<CheckpointError>("--resume never: {} holds checkpoints up to step {}; choose another name or delete it",
                           path_, *last);
  }
  const ConfigNode now = parse_config(write_yaml(config, false, Constants::as_schedules), "now");
  const ConfigNode then = complete_config(checkpoints_.path(*last));
  std::vector<std::string> lines;
  for (const ConfigDifference& d : config_differences(then, now)) lines.push_back(d.to_string());
  if (!lines.empty()) {
    raise<CheckpointError>(
        "{} holds a run with another configuration; choose another name, or make these keys agree:\n  {}", path_,
        join(lines, "\n  "));
  }
  return last;
}

std::optional<int64_t> RunFolder::config_version() const {
  const std::optional<int64_t> last = checkpoints_.last();
  if (!last) return std::nullopt;
  try {
    return load_run_config(checkpoints_.path(*last)).config_version;
  } catch (const CheckpointError&) {
    return std::nullopt;  // step_to_resume() says what is wrong with it
  }
}

void RunFolder::prepare(TrainConfig& config) const {
  make_folder(path_ + "/checkpoints");
  replace_text(path_ + "/config.yaml", write_yaml(config, false));
}

bool RunFolder::has_manifest() const {
  return fs::exists(path_ + "/manifest.json");
}

void RunFolder::write_manifest(Json manifest, const Json& session) const {
  const std::string file = path_ + "/manifest.json";
  auto sessions = Json::array();
  if (const int64_t from = session.at("from"); from > 0 && fs::exists(file)) {
    const auto before = parse_json_or_null(read_text(file));
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
  if (!fs::exists(file)) raise<CheckpointError>("{} holds no config.yaml: it is not a run or checkpoint", folder);
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
