// The folder of a run: its contents, whether it may be written to, and the step at which the run resumes.
#pragma once
#include <optional>
#include <string>

#include "core/base/json.h"
#include "core/checkpoint/checkpoint.h"
#include "core/config/config_tree.h"
#include "core/config/train_config.h"

namespace moe {

enum class ResumeMode { automatic, never, must };

// A key whose values make two configurations compute different things.
struct ConfigDifference {
  std::string key, before, after;
  std::string to_string() const { return key + ": " + before + " -> " + after; }
};
// Compares by key, ignoring keys that may differ between a run and its continuation (names, evaluation, layout, length,
// ...).
std::vector<ConfigDifference> config_differences(const ConfigNode& one, const ConfigNode& other);

class RunFolder {
 public:
  explicit RunFolder(const TrainConfig& config) : path_(config.run_folder()), checkpoints_(path_ + "/checkpoints") {}

  const std::string& path() const { return path_; }
  const CheckpointFolder& checkpoints() const { return checkpoints_; }

  // The step at which training resumes, which is that of the last checkpoint, or none for a new run. Throws
  // CheckpointError when the folder holds a run with another configuration (all differing keys are named), when `never`
  // finds checkpoints or `must` finds none.
  std::optional<int64_t> step_to_resume(TrainConfig& config, ResumeMode mode, std::optional<int64_t> last) const;

  // The version of the stored configuration's meanings (core/config/config_versions.h); none where there is no run to go
  // on with.
  std::optional<int64_t> config_version() const;

  // Rank 0: creates the folder and writes config.yaml.
  void prepare(TrainConfig& config) const;
  // `session` describes this process, including the step `from` at which it resumes; sessions of earlier processes are
  // kept.
  bool has_manifest() const;
  void write_manifest(Json manifest, const Json& session) const;

 private:
  std::string path_;
  CheckpointFolder checkpoints_;
};

// The configuration of a run or checkpoint, with `settings` ("key=value") applied. Throws CheckpointError, and
// UsageError for a wrong setting.
TrainConfig load_run_config(const std::string& folder, const std::vector<std::string>& settings = {});

// The same with every key. A key that did not exist when the run was made has its default, which gives the computation
// of that time.
ConfigNode complete_config(const std::string& folder);

}  // namespace moe
