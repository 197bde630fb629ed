// What a run's rows remember, in checkpoints: by the row of the global batch, so that any rank layout reads what any
// other wrote.
#pragma once
#include <string>
#include <vector>

#include "core/nn/context_memory.h"
#include "core/nn/parameter.h"

namespace moe {

// The file that each rank writes its rows to begins with this.
inline constexpr const char* kMemoryFile = "memory";

// One tensor (filled, width) for each layer and row; `first_row`: of the memory's rows, in the global batch.
std::vector<NamedTensor> memory_tensors(const ContextMemory& memory, int64_t first_row);
// Reads the rows of the checkpoint at `path`, whose positions are `filled`. Throws CheckpointError.
void restore_memory(ContextMemory& memory, int64_t first_row, int64_t filled, const std::string& path);

}  // namespace moe
