// Whether the disk has room for a checkpoint.
#pragma once
#include <cstdint>
#include <optional>
#include <string>

#include "core/model/model_summary.h"
#include "core/step/training_state.h"

namespace moe {

// The size of a checkpoint in bytes: parameters and optimizer states in f32, and the difficulty store.
double checkpoint_bytes(const ModelSummary& summary, const MemoryPlan& plan, DType dtype, int64_t store_bytes);

// The size of the files in a folder, in bytes; 0 if it cannot be listed.
double folder_bytes(const std::string& folder);

// A warning if the file system of the folder, which need not exist yet, has less free space than a checkpoint of so
// many bytes needs.
std::optional<std::string> space_notice(const std::string& folder, double bytes);

}  // namespace moe
