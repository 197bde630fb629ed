// A configuration of a study: files and settings, as moe-train's command line has them.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "core/config/train_config.h"

namespace moe {

struct ConfigLayers {
  std::vector<std::string> files;     // later files override earlier ones
  std::vector<std::string> settings;  // key=value, which override the files

  ConfigLayers with(const std::vector<std::string>& more_settings) const;
  std::vector<std::string> arguments() const;  // of moe-train
  TrainConfig read() const;                    // throws UsageError, DataError for data that is not there
};

// A configuration of a study and its name, which is that of its runs.
struct StudyConfig {
  std::string name;
  ConfigLayers layers;

  static StudyConfig of_file(const std::string& file);  // without folder and ".yaml"
};

// What a configuration costs, found as by --dry-run.
struct ConfigCost {
  int64_t steps = 0;
  double tokens_per_step = 0, flops_per_token = 0;
  int64_t parameters = 0, active_parameters = 0;
};
ConfigCost cost_of(const TrainConfig& config);

// Every value that decides what is trained: without seed, name, folder, and where the data is.
std::map<std::string, std::string> trained_values(TrainConfig config);

}  // namespace moe
