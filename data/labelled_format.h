// Determines the format of a folder's labelled samples.
#pragma once
#include <string>

#include "core/config/train_config.h"

namespace moe {

// Returns a name in the table image_formats() or text_formats(): the configured one or, for auto, the one whose files
// exist. Throws DataError when the folder does not exist or holds no known format, UsageError when it holds several.
std::string labelled_format(const DataConfig& config);

}  // namespace moe
