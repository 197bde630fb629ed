#include "core/machine/memory.h"

#include <cstdlib>
#include <limits>

#include "core/base/units.h"
#include "core/machine/cgroup.h"

namespace moe {

std::optional<MemoryLimit> read_memory_limit(const SystemFiles& files) {
  std::optional<MemoryLimit> limit;
  static constexpr const char* kTotal = "MemTotal:";  // "MemTotal:       24684084 kB"
  for (const std::string& line : files.lines("/proc/meminfo")) {
    if (line.rfind(kTotal, 0) != 0) continue;
    const long long kib = std::atoll(line.c_str() + std::string_view(kTotal).size());
    if (kib > 0 && kib <= std::numeric_limits<int64_t>::max() / 1024)
      limit = MemoryLimit{kib * 1024, "this machine has"};
  }
  if (const std::optional<int64_t> bytes = read_cgroup_limits(files).memory;
      bytes && (!limit || *bytes < limit->bytes)) {
    limit = MemoryLimit{*bytes, "the cgroup allows"};
  }
  return limit;
}

std::string memory_warning(const std::optional<MemoryLimit>& limit, size_t bytes, int64_t ranks) {
  const double needed = static_cast<double>(bytes) * static_cast<double>(ranks);
  if (!limit || needed <= static_cast<double>(limit->bytes)) return "";
  const std::string who = ranks == 1 ? "training needs" : fmt::format("the {} ranks of this host together need", ranks);
  return fmt::format(
      "{} about {}, but {} {}: the kernel would end a process by signal 9; use fewer ranks on a host, a smaller "
      "train.batch, or more train.micro_batches",
      who, format_bytes(needed), limit->source, format_bytes(static_cast<double>(limit->bytes)));
}

}  // namespace moe
