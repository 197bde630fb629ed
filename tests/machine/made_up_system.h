// A folder with made-up /proc and /sys.
#pragma once
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>

#include "core/machine/system_files.h"
#include "tests/support/temporary_folder.h"

namespace moe {

class MadeUpSystem {
 public:
  void write(const std::string& path, const std::string& text) {
    const std::filesystem::path file = folder_.path() + path;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text;
  }
  void process(const std::string& pid, const std::string& parent, const std::string& name, const std::string& cpus) {
    write("/proc/" + pid + "/status",
          fmt::format("Name:\t{}\nPPid:\t{}\nCpus_allowed:\tff\nCpus_allowed_list:\t{}\n", name, parent, cpus));
  }
  void command(const std::string& pid, std::string words) {
    std::replace(words.begin(), words.end(), ' ', '\0');
    write("/proc/" + pid + "/cmdline", words + '\0');
  }
  void siblings(int cpu, const std::string& list) {
    write(fmt::format("/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list", cpu), list + "\n");
  }
  SystemFiles files() const { return SystemFiles(folder_.path()); }

 private:
  TemporaryFolder folder_;
};

inline constexpr const char* kV1Mounts =
    "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:5 - cgroup cgroup rw,cpu,cpuacct\n"
    "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"
    "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n"
    "50 31 8:1 / / rw,relatime - ext4 /dev/root rw\n";
inline constexpr const char* kV2Mounts = "41 31 0:38 / /sys/fs/cgroup rw,relatime - cgroup2 cgroup2 rw,nsdelegate\n";

}  // namespace moe
