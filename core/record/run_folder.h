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

// Why a key may not be changed when a run goes on (--change), or nothing if it may. Keys that decide which tensors the
// model and its optimizer have, or which samples are drawn, may not.
std::optional<std::string> why_fixed(const std::string& key);

// Whether a key may differ between a run and its continuation, because it does not change what is computed.
bool may_differ(const std::string& key);

class RunFolder {
 public:
  // Throws UsageError for a name that is no folder below config.folder.
  explicit RunFolder(const TrainConfig& config);

  const std::string& path() const { return path_; }
  const CheckpointFolder& checkpoints() const { return checkpoints_; }

  // Throws CheckpointError when `never` finds checkpoints or `must` finds none; `steps` are those of the checkpoints.
  // Also when there are none and metrics.jsonl tells of some: a new run would remove the records of the old one, whose
  // checkpoints may be on a disk that is not mounted.
  void check_mode(ResumeMode mode, const std::vector<int64_t>& steps) const;
  // Compares the configuration with that of a checkpoint. Returns the differences in `changed` keys, and throws
  // CheckpointError that names all others.
  std::vector<ConfigDifference> check_config(TrainConfig& config, int64_t step,
                                             const std::vector<std::string>& changed) const;

  // The version of the stored configuration's meanings (core/config/config_versions.h); none where there is no run to
  // go on with.
  std::optional<int64_t> config_version() const;

  // Rank 0: creates the folder and writes config.yaml.
  void prepare(TrainConfig& config) const;
  // `session` describes this process, including the step `from` at which it resumes; sessions of earlier processes are
  // kept.
  Json manifest() const;  // null when there is none that can be read
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
