// The limits that a control group sets for this process: docker --cpus and --memory, Kubernetes' limits, systemd's and
// a batch system's. Both versions of cgroups, also mounted side by side; see the kernel's admin-guide/cgroup-v1 and
// cgroup-v2.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "core/machine/system_files.h"

namespace moe {

struct CgroupLimits {
  std::optional<double> cores;    // CPU time per time: 0.5 = half of a core
  std::optional<int64_t> memory;  // bytes
};

// The smallest limits of the process's group and the groups around it. Nothing where no limit is set or no cgroup is
// found.
CgroupLimits read_cgroup_limits(const SystemFiles& files);

// The folders that describe the memory of the process's group and of the groups around it. None if no cgroup is found.
std::vector<std::string> memory_groups(const SystemFiles& files);

}  // namespace moe
