#include "core/machine/cpu_facts.h"

#include <algorithm>
#include <numeric>
#include <tuple>

#include "core/machine/cgroup.h"
#include "core/machine/memory.h"
#include "tests/machine/made_up_system.h"
#include "tests/support/catch.h"

using namespace moe;

namespace {

std::vector<int> range(int first, int count) {
  std::vector<int> result(static_cast<size_t>(count));
  std::iota(result.begin(), result.end(), first);
  return result;
}

// Facts of a machine with `cores` cores of one hardware thread each.
CpuFacts facts_with(int cores) {
  CpuFacts facts;
  facts.mask = range(0, cores);
  for (int cpu = 0; cpu < cores; ++cpu) facts.cores.push_back({cpu});
  return facts;
}

// The same, for a rank that mpirun has bound to `mask` by default.
CpuFacts default_binding(int cores, std::vector<int> mask) {
  CpuFacts facts = facts_with(cores);
  facts.launcher_mask = facts.mask;
  facts.mask = std::move(mask);
  facts.bound_on_request = false;
  return facts;
}

}  // namespace

TEST_CASE("lists of CPUs are read and written as Linux does") {
  CHECK(parse_cpu_list("0-3,8,10-11\n") == std::vector<int>{0, 1, 2, 3, 8, 10, 11});
  CHECK(parse_cpu_list("5") == std::vector<int>{5});
  CHECK(parse_cpu_list("2000-2001,1").size() == 3);
  CHECK(parse_cpu_list("3,0-4,2-5,1-2,4").size() == 6);
  for (const char* wrong : {"", "x", "3-1", "-1", "1-2-3", "0-99999999999"}) CHECK(parse_cpu_list(wrong).empty());
  CHECK(cpu_list_text({0, 1, 2, 8, 10, 11}) == "0-2,8,10-11");
  CHECK(cpu_list_text({}).empty());
}

TEST_CASE("a cgroup's quota and memory limit, of both versions, from the own group and those around it") {
  struct Case {
    const char* name;
    const char *mounts, *groups;
    std::vector<std::pair<std::string, std::string>> files;
    std::optional<double> cores;
    std::optional<int64_t> memory;
  };
  const std::string v1 = "/sys/fs/cgroup/cpu,cpuacct", mem = "/sys/fs/cgroup/memory", v2 = "/sys/fs/cgroup";
  const Case cases[] = {
      {"version 1",
       kV1Mounts,
       "4:memory:/job\n2:cpu,cpuacct:/job\n0::/\n",
       {{v1 + "/job/cpu.cfs_quota_us", "50000\n"},
        {v1 + "/job/cpu.cfs_period_us", "100000\n"},
        {mem + "/job/memory.limit_in_bytes", "1073741824\n"}},
       0.5,
       int64_t{1} << 30},
      {"version 1 without limits",
       kV1Mounts,
       "4:memory:/job\n2:cpu,cpuacct:/job\n0::/\n",
       {{v1 + "/job/cpu.cfs_quota_us", "-1\n"},
        {v1 + "/job/cpu.cfs_period_us", "100000\n"},
        {mem + "/job/memory.limit_in_bytes", "9223372036854771712\n"}},
       {},
       {}},
      {"version 2, limits in a group around it",
       kV2Mounts,
       "0::/slice/job/leaf\n",
       {{v2 + "/slice/job/leaf/cpu.max", "max 100000\n"},
        {v2 + "/slice/job/cpu.max", "150000 100000\n"},
        {v2 + "/slice/cpu.max", "400000 100000\n"},
        {v2 + "/slice/memory.max", "2000000\n"},
        {v2 + "/slice/job/leaf/memory.max", "max\n"}},
       1.5,
       2000000},
      {"a container that sees its group as the root",
       kV2Mounts,
       "0::/\n",
       {{v2 + "/cpu.max", "200000 100000\n"}},
       2.0,
       {}},
      {"a container whose group's name is that on the host",
       "41 31 0:38 /docker/abc /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
       "0::/docker/abc\n",
       {{v2 + "/cpu.max", "25000 100000\n"}},
       0.25,
       {}},
      {"a container whose group is outside of what is mounted",
       kV2Mounts,
       "0::/../../other\n",
       {{v2 + "/cpu.max", "300000 100000\n"}},
       3.0,
       {}},
      {"files that make no sense",
       kV2Mounts,
       "0::/job\nnonsense\n",
       {{v2 + "/job/cpu.max", "0 0\n"}, {v2 + "/job/memory.max", "-5\n"}},
       {},
       {}},
      {"a quota beyond any machine",
       kV2Mounts,
       "0::/job\n",
       {{v2 + "/job/cpu.max", "10999999999999999 100000\n"}, {v2 + "/cpu.max", "200000 100000\n"}},
       2,
       {}},
      {"a group without a slash", kV2Mounts, "0::job/step\n", {{v2 + "/cpu.max", "150000 100000\n"}}, 1.5, {}},
      {"no cgroups", "", "", {}, {}, {}},
  };
  for (const Case& c : cases) {
    INFO(c.name);
    MadeUpSystem system;
    system.write("/proc/self/mountinfo", c.mounts);
    system.write("/proc/self/cgroup", c.groups);
    for (const auto& [path, text] : c.files) system.write(path, text);
    const CgroupLimits limits = read_cgroup_limits(system.files());
    CHECK(limits.cores == c.cores);
    CHECK(limits.memory == c.memory);
  }
  CHECK_FALSE(read_cgroup_limits(MadeUpSystem().files()).cores.has_value());
}

TEST_CASE("the memory limit is the machine's or the cgroup's, whichever is smaller") {
  MadeUpSystem system;
  CHECK_FALSE(read_memory_limit(system.files()).has_value());
  system.write("/proc/meminfo", "MemTotal:       55555555555555555555 kB\n");
  CHECK_FALSE(read_memory_limit(system.files()));
  system.write("/proc/meminfo", "MemTotal:       1000 kB\nMemFree:        10 kB\n");
  CHECK(read_memory_limit(system.files())->bytes == 1024000);
  CHECK(memory_warning(read_memory_limit(system.files()), 512000, 2).empty());
  CHECK_THAT(memory_warning(read_memory_limit(system.files()), 512001, 2),
             Catch::Contains("this machine has") && Catch::Contains("the 2 ranks"));
  system.write("/proc/self/mountinfo", kV2Mounts);
  system.write("/proc/self/cgroup", "0::/job\n");
  system.write("/sys/fs/cgroup/job/memory.max", "2000000\n");
  CHECK(read_memory_limit(system.files())->bytes == 1024000);
  system.write("/sys/fs/cgroup/job/memory.max", "600000\n");
  CHECK(read_memory_limit(system.files())->bytes == 600000);
  CHECK_THAT(memory_warning(read_memory_limit(system.files()), 600001, 1), Catch::Contains("the cgroup allows"));
  CHECK(memory_warning(std::nullopt, size_t{1} << 50, 8).empty());
}

TEST_CASE("facts about CPUs: masks, hardware threads, mpirun's mask and whether binding was asked for") {
  MadeUpSystem system;
  system.process("self", "30", "moe-train", "0");
  system.process("30", "20", "sh", "0");
  system.process("20", "10", "mpirun", "0-3");
  system.process("10", "0", "bash", "0-7");
  system.command("20", "mpirun -n 2 moe-train");
  for (int cpu = 0; cpu < 8; ++cpu) system.siblings(cpu, fmt::format("{},{}", cpu % 2, cpu % 2 + 2));
  CpuFacts facts = read_cpu_facts(system.files());
  CHECK(facts.mask == std::vector<int>{0});
  CHECK(facts.launcher_mask == range(0, 4));
  CHECK_FALSE(facts.bound_on_request);
  CHECK(facts.cores == std::vector<std::vector<int>>{{0, 2}, {1, 3}});

  for (const char* command :
       {"mpirun --bind-to core -n 2 moe-train", "mpirun -bind-to none moe-train", "mpirun --cpu-set 0,1 moe-train",
        "mpirun --map-by slot:PE=2 moe-train", "mpirun --map-by ppr:1:node:pe=2 moe-train",
        "mpirun -rf ranks moe-train", "mpirun --bind-to-core moe-train",
        "mpirun --mca hwloc_base_binding_policy core moe-train"}) {
    INFO(command);
    system.command("20", command);
    facts = read_cpu_facts(system.files());
    CHECK(facts.bound_on_request);
    CHECK(facts.cores == std::vector<std::vector<int>>{{0}});
  }
  for (const char* command : {"mpirun --map-by :OVERSUBSCRIBE -n 2 moe-train --config bind-to", "mpirun moe-train"}) {
    INFO(command);
    system.command("20", command);
    CHECK_FALSE(read_cpu_facts(system.files()).bound_on_request);
  }
  std::string variable = "A=1";
  variable += '\0';
  system.write("/proc/self/environ", variable + "OMPI_MCA_hwloc_base_binding_policy=core");
  CHECK(read_cpu_facts(system.files()).bound_on_request);

  // A batch system's daemon: the mask is what it gave.
  MadeUpSystem batch;
  batch.process("self", "20", "moe-train", "4-5");
  batch.process("20", "1", "slurmstepd", "0-7");
  CHECK(read_cpu_facts(batch.files()).bound_on_request);
  CHECK(read_cpu_facts(batch.files()).cores.size() == 2);

  // More CPUs than a cpu_set_t holds.
  MadeUpSystem large;
  large.process("self", "1", "moe-train", "0-2047");
  CHECK(read_cpu_facts(large.files()).cores.size() == 2048);
  // Nothing can be read.
  CHECK(read_cpu_facts(MadeUpSystem().files()).cores.size() == 1);
}

TEST_CASE("a lost rank's job ends Open MPI's launcher, and no other") {
  for (const char* name : {"mpirun", "orted", "prted"}) {
    MadeUpSystem system;
    system.process("self", "20", "moe-train", "0");
    system.process("20", "10", name, "0");
    system.process("10", "1", "slurmstepd", "0");
    CHECK(open_mpi_launcher(system.files()) == 20);
  }
  for (const char* name : {"slurmstepd", "srun", "hydra_pmi_proxy", "bash"}) {
    MadeUpSystem system;
    system.process("self", "20", "moe-train", "0");
    system.process("20", "1", name, "0");
    CHECK(open_mpi_launcher(system.files()) == 0);
  }
}

TEST_CASE("threads are shared among a host's ranks, by physical cores, the mask and the quota") {
  const auto threads = [](const CpuFacts& facts, int ranks, bool hardware = false) {
    return plan_cpus(facts, {.hardware = hardware, .local_ranks = ranks}).threads;
  };
  CHECK(threads(facts_with(8), 1) == 8);
  CHECK(threads(facts_with(8), 3) == 2);
  CHECK(threads(facts_with(2), 5) == 1);
  CpuFacts smt = facts_with(8);
  smt.cores = {{0, 4}, {1, 5}, {2, 6}, {3, 7}};
  CHECK(threads(smt, 1) == 4);
  CHECK(threads(smt, 1, true) == 8);
  CHECK(threads(smt, 2) == 2);
  for (const auto& [quota, ranks, expected] :
       {std::tuple(0.5, 1, 1), {1.0, 1, 1}, {1.9, 1, 1}, {2.0, 1, 2}, {4.0, 2, 2}, {100.0, 1, 8}, {0.1, 8, 1}}) {
    CpuFacts limited = facts_with(8);
    limited.quota = quota;
    INFO(quota << " for " << ranks);
    CHECK(threads(limited, ranks) == expected);
    const CpuPlan plan = plan_cpus(limited, {.local_ranks = ranks});
    CHECK((plan.source.find("quota") != std::string::npos) == (expected < 8 / ranks || quota < 1));
    CHECK(plan.notice.empty());
  }
}

TEST_CASE("wishes decide the number of threads, and more of them than a quota gives a notice") {
  CpuFacts facts = facts_with(8);
  CHECK(plan_cpus(facts, {.threads = 3, .omp_threads = 5}).threads == 3);
  CHECK(plan_cpus(facts, {.threads = 3}).source == "parallel.threads");
  CHECK(plan_cpus(facts, {.omp_threads = 5}).threads == 5);
  CHECK(plan_cpus(facts, {.threads = 16}).notice.empty());
  facts.quota = 2;
  CHECK(plan_cpus(facts, {.threads = 2}).notice.empty());
  CHECK_THAT(plan_cpus(facts, {.threads = 3}).notice, Catch::Contains("quota of 2 cores"));
  CHECK_THAT(plan_cpus(facts, {.threads = 2, .local_ranks = 2}).notice, Catch::Contains("2 rank(s)"));
}

TEST_CASE("a mask that was meant is kept, mpirun's default one is replaced within mpirun's own") {
  // Not under mpirun, and under an mpirun that was told how to bind.
  CHECK(plan_cpus(facts_with(4), {.threads = 2}).mask.empty());
  CpuFacts asked = default_binding(8, {0});
  asked.bound_on_request = true;
  asked.cores = {{0}};
  CHECK(plan_cpus(asked, {.local_ranks = 2}).mask.empty());
  CHECK(plan_cpus(asked, {.local_ranks = 2}).threads == 1);
  CpuFacts none = default_binding(8, range(0, 8));  // --bind-to none: the ranks share all cores
  none.bound_on_request = true;
  CHECK(plan_cpus(none, {.local_ranks = 2}).threads == 4);
  CpuFacts socket = default_binding(8, range(4, 4));  // two of four ranks share a socket
  socket.bound_on_request = true;
  socket.cores = {{4}, {5}, {6}, {7}};
  CHECK(plan_cpus(socket, {.local_ranks = 4}).threads == 2);

  // Ranks that fill the cores get their shares.
  const CpuPlan second = plan_cpus(default_binding(8, {1}), {.local_rank = 1, .local_ranks = 2});
  CHECK(second.threads == 4);
  CHECK(second.mask == range(4, 4));
  CHECK(plan_cpus(default_binding(2, {1}), {.local_rank = 1, .local_ranks = 2}).mask.empty());  // it is already that
  // Ranks that leave cores free are not left on the first ones, on which another job's ranks are, too.
  CHECK(plan_cpus(default_binding(2, {0}), {.threads = 1}).mask == range(0, 2));
  CHECK(plan_cpus(default_binding(8, {1}), {.threads = 2, .local_rank = 1, .local_ranks = 2}).mask == range(0, 8));
  // Never beyond the mask of mpirun itself.
  CpuFacts narrow = default_binding(1, {0});
  CHECK(plan_cpus(narrow, {.threads = 4}).mask.empty());
  narrow.cores = {{3}}, narrow.launcher_mask = {3}, narrow.mask = {3};
  CHECK(plan_cpus(narrow, {}).threads == 1);
  // A share includes the hardware threads of its cores.
  CpuFacts smt = default_binding(8, {0});
  smt.cores = {{0, 4}, {1, 5}, {2, 6}, {3, 7}};
  const CpuPlan share = plan_cpus(smt, {.local_rank = 1, .local_ranks = 2});
  CHECK(share.threads == 2);
  CHECK(share.mask == std::vector<int>{2, 3, 6, 7});
}
