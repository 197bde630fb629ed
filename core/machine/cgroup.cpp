#include "core/machine/cgroup.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <utility>

#include "core/base/text.h"

namespace moe {
namespace {

// A mounted hierarchy: version 2, or the controllers of one hierarchy of version 1.
struct Mount {
  int version;
  std::vector<std::string> controllers;
  std::string root;   // the group that is mounted
  std::string point;  // where
};

bool contains(const std::vector<std::string>& words, const char* word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

// A line of mountinfo: "36 35 98:0 /root /point options optional-fields - type source super-options".
std::vector<Mount> mounts(const SystemFiles& files) {
  std::vector<Mount> result;
  for (const std::string& line : files.lines("/proc/self/mountinfo")) {
    const std::vector<std::string> words = split(line, ' ');
    const auto dash = std::find(words.begin(), words.end(), "-");
    if (words.size() < 5 || words.end() - dash < 4) continue;
    if (dash[1] == "cgroup2") result.push_back({2, {}, words[3], words[4]});
    if (dash[1] == "cgroup") result.push_back({1, split(dash[3], ','), words[3], words[4]});
  }
  return result;
}

// The process's group in the hierarchy of a mount, from a line "4:memory:/group" or, in version 2, "0::/group".
std::optional<std::string> group_in(const SystemFiles& files, const Mount& mount) {
  for (const std::string& line : files.lines("/proc/self/cgroup")) {
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const bool fits = mount.version == 2 ? controllers.empty()
                                         : !controllers.empty() &&
                                               contains(mount.controllers, split(controllers, ',').front().c_str());
    if (fits) return line.substr(second + 1);
  }
  return std::nullopt;
}

// The folders of the process's group and of those around it, as far as they are mounted. Within a container the group's
// name may be that on the host, of which the mount shows the end or nothing.
std::vector<std::string> folders(const SystemFiles& files, const Mount& mount) {
  std::string group = group_in(files, mount).value_or("/");
  if (mount.root != "/" && (group == mount.root || group.rfind(mount.root + "/", 0) == 0)) {
    group = group.substr(mount.root.size());
  }
  // Of the kernel it begins with a slash; of other text below, the loop would never end.
  if (group.rfind("/..", 0) == 0 || group.rfind('/', 0) != 0) group.clear();
  std::vector<std::string> result;
  while (!group.empty() && group != "/") {
    result.push_back(mount.point + group);
    group = group.substr(0, group.rfind('/'));
  }
  result.push_back(mount.point);
  return result;
}

std::optional<double> cores_in(const SystemFiles& files, const Mount& mount, const std::string& folder) {
  double quota = -1, period = 0;
  if (mount.version == 2) {  // "50000 100000" or "max 100000"
    const std::vector<std::string> words = split(std::string(trim(files.read(folder + "/cpu.max").value_or(""))), ' ');
    if (words.size() != 2 || words[0] == "max") return std::nullopt;
    quota = std::strtod(words[0].c_str(), nullptr), period = std::strtod(words[1].c_str(), nullptr);
  } else {
    quota = static_cast<double>(files.number(folder + "/cpu.cfs_quota_us").value_or(-1));
    period = static_cast<double>(files.number(folder + "/cpu.cfs_period_us").value_or(0));
  }
  constexpr double kMost = 1 << 16;  // more cores than Linux supports are no quota
  return quota > 0 && period > 0 && quota / period <= kMost ? std::optional(quota / period) : std::nullopt;
}

std::optional<int64_t> memory_in(const SystemFiles& files, const Mount& mount, const std::string& folder) {
  constexpr int64_t kNone = int64_t{1} << 60;  // version 1 writes about 2^63 for no limit
  const std::optional<int64_t> limit =
      files.number(folder + (mount.version == 2 ? "/memory.max" : "/memory.limit_in_bytes"));
  return limit && *limit > 0 && *limit < kNone ? limit : std::nullopt;
}

template <class T>
void keep_smaller(std::optional<T>& smallest, std::optional<T> other) {
  if (other && (!smallest || *other < *smallest)) smallest = other;
}

}  // namespace

static bool has_controller(const Mount& mount, const char* name) {
  return mount.version == 2 || contains(mount.controllers, name);
}

CgroupLimits read_cgroup_limits(const SystemFiles& files) {
  CgroupLimits limits;
  for (const Mount& mount : mounts(files)) {
    const bool cpu = has_controller(mount, "cpu"), memory = has_controller(mount, "memory");
    if (!cpu && !memory) continue;
    for (const std::string& folder : folders(files, mount)) {
      if (cpu) keep_smaller(limits.cores, cores_in(files, mount, folder));
      if (memory) keep_smaller(limits.memory, memory_in(files, mount, folder));
    }
  }
  return limits;
}

std::vector<std::string> memory_groups(const SystemFiles& files) {
  std::vector<std::string> result;
  for (const Mount& mount : mounts(files)) {
    if (!has_controller(mount, "memory")) continue;
    for (std::string& folder : folders(files, mount)) result.push_back(std::move(folder));
  }
  return result;
}

}  // namespace moe
