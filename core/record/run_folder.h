// The folder of a run: what is in it, whether it may be written to, and where the run goes on.
#pragma once
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "core/checkpoint/checkpoint.h"
#include "core/config/config_tree.h"
#include "core/config/train_config.h"

namespace moe {

enum class ResumeMode { automatic, never, must };

// A key that makes two configurations compute different things.
struct ConfigDifference {
  std::string key, before, after;
  std::string to_string() const { return key + ": " + before + " -> " + after; }
};
// By key, without those that may differ between a run and its continuation (names, evaluation, layout, length, ...).
std::vector<ConfigDifference> config_differences(const ConfigNode& one, const ConfigNode& other);

class RunFolder {
 public:
  explicit RunFolder(const TrainConfig& config) : path_(config.run_folder()), checkpoints_(path_ + "/checkpoints") {}

  const std::string& path() const { return path_; }
  const CheckpointFolder& checkpoints() const { return checkpoints_; }

  // The step that training goes on from, or none for a new run. Throws CheckpointError when the folder holds a run of
  // another configuration (all differing keys are named), when `never` meets checkpoints or `must` meets none.
  std::optional<int64_t> step_to_resume(TrainConfig& config, ResumeMode mode) const;

  // Rank 0: creates the folder and writes config.yaml.
  void prepare(TrainConfig& config) const;
  // `session` is what is special to this process, with the step it goes on `from`; those of earlier processes stay.
  bool has_manifest() const;
  void write_manifest(nlohmann::json manifest, const nlohmann::json& session) const;

 private:
  std::string path_;
  CheckpointFolder checkpoints_;
};

// The configuration that a run or checkpoint was made with, with `settings` ("key=value") over it. Throws
// CheckpointError; UsageError for a wrong setting.
TrainConfig load_run_config(const std::string& folder, const std::vector<std::string>& settings = {});

// The same with every key. One that was not known yet when the run was made has its default, which computes what was
// computed then.
ConfigNode complete_config(const std::string& folder);

}  // namespace moe
