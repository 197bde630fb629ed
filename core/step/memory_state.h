// The context memory of a run's rows in checkpoints. It is stored by row of the global batch, so that any rank layout
// can read what any other wrote.
#pragma once
#include <string>
#include <vector>

#include "core/nn/context_memory.h"
#include "core/nn/parameter.h"

namespace moe {

// Prefix of the file to which each rank writes its rows.
inline constexpr const char* kMemoryFile = "memory";

// One tensor (filled, width) for each layer and row. `first_row`: index of the memory's first row in the global batch.
std::vector<NamedTensor> memory_tensors(const ContextMemory& memory, int64_t first_row);
// Reads the rows of the checkpoint at `path`, in which `filled` positions are in use. Throws CheckpointError.
void restore_memory(ContextMemory& memory, int64_t first_row, int64_t filled, const std::string& path);

}  // namespace moe
