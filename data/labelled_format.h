// Which format the labelled samples of a folder have.
#pragma once
#include <string>

#include "core/config/train_config.h"

namespace moe {

// The name of a line of image_formats() or text_formats(): the one that is configured or, for auto, that is there.
// Throws DataError when there is no such folder or nothing known in it, UsageError when there are several.
std::string labelled_format(const DataConfig& config);

}  // namespace moe
