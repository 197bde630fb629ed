// The error for a checkpoint whose content is not what was written, as opposed to one that does not fit the run or
// cannot be read now. Only a damaged checkpoint is passed over for an earlier one.
#pragma once
#include "core/base/error.h"

namespace moe {

class DamagedCheckpoint : public CheckpointError {
 public:
  using CheckpointError::CheckpointError;
};

}  // namespace moe
