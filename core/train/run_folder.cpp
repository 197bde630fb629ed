#include "core/train/run_folder.h"

#include <filesystem>
#include <functional>
#include <map>

#include "core/base/log.h"
#include "core/base/text.h"
#include "core/checkpoint/files.h"
#include "core/config/config_reader.h"
#include "core/config/config_writer.h"

namespace moe {

namespace fs = std::filesystem;

// Keys that do not change what is computed: they may differ between a run and its continuation.
static bool is_free(const std::string& key) {
  for (const char* prefix : {"name", "folder", "device", "precision", "parallel.", "evaluate.", "checkpoint.", "log.",
                             "sample.", "train.steps", "train.micro_batches", "data.path"}) {
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

std::optional<int64_t> RunFolder::step_to_resume(TrainConfig& config, ResumeMode mode) const {
  const std::optional<int64_t> last = checkpoints_.last();
  if (!last) {
    if (mode == ResumeMode::must) raise<CheckpointError>("--resume must: {} holds no complete checkpoint", path_);
    return std::nullopt;
  }
  if (mode == ResumeMode::never) {
    raise<CheckpointError>("--resume never: {} holds checkpoints up to step {}; choose another name or delete it",
                           path_, *last);
  }
  const auto now = flatten(parse_config(write_yaml(config, false), "now"));
  const auto then = flatten(parse_config(read_text(checkpoints_.path(*last) + "/config.yaml"), "then"));
  std::vector<std::string> differences;
  for (const auto& [key, value] : now) {
    const auto other = then.find(key);
    if (!is_free(key) && (other == then.end() || other->second != value)) {
      differences.push_back(fmt::format("{}: {} -> {}", key, other == then.end() ? "(absent)" : other->second, value));
    }
  }
  for (const auto& [key, value] : then) {
    if (!is_free(key) && !now.count(key)) differences.push_back(fmt::format("{}: {} -> (absent)", key, value));
  }
  if (!differences.empty()) {
    raise<CheckpointError>("{} holds a run of another configuration; choose another name, or make these agree:\n  {}",
                           path_, join(differences, "\n  "));
  }
  return last;
}

void RunFolder::prepare(TrainConfig& config) const {
  make_folder(path_ + "/checkpoints");
  replace_text(path_ + "/config.yaml", write_yaml(config, false));
}

void RunFolder::write_manifest(const nlohmann::json& manifest) const {
  replace_text(path_ + "/manifest.json", manifest.dump(2) + "\n");
}

TrainConfig load_run_config(const std::string& folder) {
  const std::string file = folder + "/config.yaml";
  if (!fs::exists(file)) raise<CheckpointError>("{} holds no config.yaml: it is no run or checkpoint", folder);
  TrainConfig config;
  try {
    read_config(parse_config(read_text(file), file), config);
  } catch (const UsageError& error) {
    throw CheckpointError(error.what());
  }
  return config;
}

}  // namespace moe
