// The formats of labelled samples of every kind, and the one that a folder has.
#pragma once
#include <string>
#include <vector>

#include "core/config/train_config.h"

namespace moe {

struct LabelledFormat {
  const char* name;  // a word of data.labelled.format
  const char* kind;  // of its samples: "images", "sounds", "texts"; core/tasks/classify_task.h has a line for each
  bool (*is_in)(const std::string& folder);
};
// Those of all tables of formats, one for each kind of samples.
const std::vector<LabelledFormat>& labelled_formats();

// Returns the configured format or, for auto, the one whose files exist. Throws DataError when the folder does not
// exist or holds no known format, UsageError when it holds several.
const LabelledFormat& labelled_format(const DataConfig& config);

}  // namespace moe
