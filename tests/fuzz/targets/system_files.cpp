// What Linux says about masks, groups and limits, as made-up files.
#include <filesystem>

#include "core/machine/cgroup.h"
#include "core/machine/cpu_facts.h"
#include "core/machine/memory.h"
#include "tests/fuzz/fuzz_target.h"

namespace moe {

static constexpr const char* kFiles[] = {"proc/self/mountinfo",
                                         "proc/self/cgroup",
                                         "proc/self/status",
                                         "proc/meminfo",
                                         "sys/fs/cgroup/cpu.max",
                                         "sys/fs/cgroup/memory.max",
                                         "sys/devices/system/cpu/cpu0/topology/thread_siblings_list"};

static void read_input(std::string_view input) {
  const auto contents = parts(input, std::size(kFiles));
  for (size_t i = 0; i < std::size(kFiles); ++i) {
    const std::filesystem::path path = std::filesystem::path("machine") / kFiles[i];
    std::filesystem::create_directories(scratch_folder() / path.parent_path());
    scratch_file(path.string(), contents[i]);
  }
  const SystemFiles files(scratch_folder() + "/machine");
  read_cgroup_limits(files);
  read_memory_limit(files);
  open_mpi_launcher(files);
  const CpuFacts facts = read_cpu_facts(files);
  for (const int ranks : {1, 3}) {
    const CpuPlan plan = plan_cpus(facts, {.local_ranks = ranks});
    require(plan.threads >= 1, "a rank has a thread");
  }
}

static std::vector<std::string> seeds() {
  return {
      joined({"36 35 98:0 / /sys/fs/cgroup rw - cgroup2 cgroup rw\n37 35 98:0 /a /sys/fs/cgroup/cpu rw - cgroup cgroup "
              "rw,cpu,cpuacct\n",
              "0::/\n4:cpu,cpuacct:/a/b\n", "Name:\tx\nPPid:\t12\nCpus_allowed_list:\t0-3,8\n",
              "MemTotal: 1000 kB\nMemAvailable: 500 kB\n", "150000 100000\n", "max\n", "0,4\n"})};
}

static const FuzzTarget target{"system_files", read_input, seeds};

}  // namespace moe
