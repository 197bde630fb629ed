// The folder of a run: what is in it, whether it may be written to, and where the run goes on.
#pragma once
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "core/checkpoint/checkpoint.h"
#include "core/config/train_config.h"

namespace moe {

enum class ResumeMode { automatic, never, must };

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
  void write_manifest(const nlohmann::json& manifest) const;

 private:
  std::string path_;
  CheckpointFolder checkpoints_;
};

// The configuration that a run or checkpoint was made with. Throws CheckpointError.
TrainConfig load_run_config(const std::string& folder);

}  // namespace moe
