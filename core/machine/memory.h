// The memory that processes of this host may use together.
#pragma once
#include <cstdint>
#include <optional>
#include <string>

#include "core/machine/system_files.h"

namespace moe {

struct MemoryLimit {
  int64_t bytes = 0;
  const char* source = "";  // "this machine has", "the cgroup allows"
};

// The machine's memory or the cgroup's limit, whichever is smaller; nothing where neither can be read.
std::optional<MemoryLimit> read_memory_limit(const SystemFiles& files);

// A warning when `ranks` processes of `bytes` each need more than the limit; empty if they do not, or without a limit.
std::string memory_warning(const std::optional<MemoryLimit>& limit, size_t bytes, int64_t ranks);

}  // namespace moe
