#include "core/machine/cpu_facts.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <set>

#include "core/base/integer.h"
#include "core/base/text.h"
#include "core/machine/cgroup.h"

namespace moe {
namespace {

constexpr const char* kMask = "Cpus_allowed_list:";

// A line "name:\tvalue" of /proc/PID/status.
std::string status_of(const SystemFiles& files, const std::string& pid, const std::string& name) {
  for (const std::string& line : files.lines("/proc/" + pid + "/status")) {
    if (line.rfind(name, 0) == 0) return std::string(trim(std::string_view(line).substr(name.size())));
  }
  return "";
}

// A program that starts ranks, by the name of its process. Open MPI binds them by default, the others do as they are
// told.
struct Launcher {
  const char* name;
  bool is_open_mpi;
};
constexpr Launcher kLaunchers[] = {{"mpirun", true},     {"mpiexec", true},         {"orterun", true},
                                   {"orted", true},      {"prterun", true},         {"prted", true},
                                   {"prte", true},       {"slurmstepd", false},     {"srun", false},
                                   {"pmi_proxy", false}, {"hydra_pmi_proxy", false}};

const Launcher* launcher_named(const std::string& name) {
  for (const Launcher& launcher : kLaunchers) {
    if (name == launcher.name) return &launcher;
  }
  return nullptr;
}

std::vector<std::string> nul_separated(const SystemFiles& files, const std::string& path) {
  return split(files.read(path).value_or(""), '\0');
}

// Whether a word of mpirun's command line or a variable of its environment says how to bind ranks.
bool asks_for_binding(const std::vector<std::string>& words, const std::vector<std::string>& environment) {
  static const char* const options[] = {"bind-to", "cpu-set", "cpu-list", "rankfile", "rf", "slot-list"};
  for (size_t i = 0; i < words.size(); ++i) {
    const std::string word = words[i].substr(std::min(words[i].find_first_not_of('-'), words[i].size()));
    const bool is_option =
        words[i].rfind("-", 0) == 0 && std::any_of(std::begin(options), std::end(options), [&](const char* o) {
          return word == o || word.rfind(std::string(o) + "-", 0) == 0 || word.rfind(std::string(o) + "=", 0) == 0;
        });
    const bool has_pe = lower_case(word).find("pe=") != std::string::npos;  // --map-by slot:PE=2
    if (is_option || has_pe || word.find("binding_policy") != std::string::npos) return true;
  }
  return std::any_of(environment.begin(), environment.end(), [](const std::string& variable) {
    const std::string name = variable.substr(0, variable.find('='));
    return name.find("MCA_") != std::string::npos &&
           (name.find("binding_policy") != std::string::npos || name.find("hwloc_base_cpu_set") != std::string::npos ||
            name.find("hwloc_default_cpu_list") != std::string::npos);
  });
}

// The launcher among this process's ancestors: its process number, and what it is.
std::pair<std::string, const Launcher*> find_launcher(const SystemFiles& files) {
  std::string pid = "self";
  for (int generation = 0; generation < 64; ++generation) {
    pid = status_of(files, pid, "PPid:");
    if (pid.empty() || pid == "0") break;
    if (const Launcher* launcher = launcher_named(status_of(files, pid, "Name:"))) return {pid, launcher};
  }
  return {"", nullptr};
}

std::vector<std::vector<int>> cores_of(const SystemFiles& files, const std::vector<int>& cpus) {
  std::vector<std::vector<int>> cores;
  std::set<int> seen;
  for (const int cpu : cpus) {
    if (seen.count(cpu) > 0) continue;
    const std::string folder = fmt::format("/sys/devices/system/cpu/cpu{}/topology/", cpu);
    const std::string siblings =
        files.read(folder + "core_cpus_list")
            .value_or(files.read(folder + "thread_siblings_list").value_or(std::to_string(cpu)));
    std::vector<int> core;
    for (const int sibling : parse_cpu_list(siblings)) {
      if (std::binary_search(cpus.begin(), cpus.end(), sibling) && seen.insert(sibling).second) core.push_back(sibling);
    }
    if (core.empty() && seen.insert(cpu).second) core.push_back(cpu);
    cores.push_back(core);
  }
  return cores;
}

}  // namespace

CpuFacts read_cpu_facts(const SystemFiles& files) {
  CpuFacts facts;
  facts.mask = parse_cpu_list(status_of(files, "self", kMask));
  if (facts.mask.empty()) facts.mask = {0};
  const auto [pid, launcher] = find_launcher(files);
  if (launcher) facts.launcher_mask = parse_cpu_list(status_of(files, pid, kMask));
  if (launcher && launcher->is_open_mpi && !facts.launcher_mask.empty()) {
    std::vector<std::string> environment = nul_separated(files, "/proc/self/environ");
    for (const std::string& variable : nul_separated(files, "/proc/" + pid + "/environ"))
      environment.push_back(variable);
    facts.bound_on_request = asks_for_binding(nul_separated(files, "/proc/" + pid + "/cmdline"), environment);
  }
  facts.cores = cores_of(files, facts.bound_on_request ? facts.mask : facts.launcher_mask);
  facts.quota = read_cgroup_limits(files).cores;
  return facts;
}

int open_mpi_launcher(const SystemFiles& files) {
  const auto [pid, launcher] = find_launcher(files);
  return launcher && launcher->is_open_mpi ? std::atoi(pid.c_str()) : 0;
}

// The number of this host's ranks that share the cores of `facts`. A mask that is meant may be a rank's own or that of
// several ranks, which their part of the launcher's mask shows.
static int sharing_ranks(const CpuFacts& facts, int local_ranks) {
  if (!facts.bound_on_request || facts.launcher_mask.empty()) return std::max(1, local_ranks);
  const double part = static_cast<double>(facts.mask.size()) / static_cast<double>(facts.launcher_mask.size());
  return std::max(1, static_cast<int>(std::lround(part * local_ranks)));
}

CpuPlan plan_cpus(const CpuFacts& facts, const CpuWishes& wishes) {
  // The units that are shared out: physical cores, or hardware threads.
  std::vector<std::vector<int>> units;
  for (const std::vector<int>& core : facts.cores) {
    if (!wishes.hardware) {
      units.push_back(core);
      continue;
    }
    for (const int cpu : core) units.push_back({cpu});
  }
  const int local_ranks = std::max(1, wishes.local_ranks), ranks = sharing_ranks(facts, local_ranks);
  const auto count = static_cast<int>(units.size());
  const int share = std::max(1, count / ranks);
  CpuPlan plan;
  plan.threads = share;
  const char* unit = wishes.hardware ? "hardware thread" : "core";
  plan.source = fmt::format("{} {}{}{}", count, unit, count == 1 ? "" : "s",
                            ranks > 1 ? fmt::format(" for {} ranks", ranks) : "");
  if (facts.quota) {
    const int allowed = std::max(1, static_cast<int>(*facts.quota / local_ranks + 1e-9));
    if (allowed < plan.threads || *facts.quota < 1) {
      plan.threads = std::min(plan.threads, allowed);
      plan.source = fmt::format("a CPU quota of {:g} cores", *facts.quota);
    }
  }
  const int offered = plan.threads;
  if (wishes.omp_threads > 0) plan.threads = wishes.omp_threads, plan.source = "OMP_NUM_THREADS";
  if (wishes.threads > 0) plan.threads = wishes.threads, plan.source = "parallel.threads";
  if (plan.threads > offered && facts.quota && static_cast<double>(plan.threads * local_ranks) > *facts.quota) {
    plan.notice = fmt::format("{} threads on each of {} rank(s) share a CPU quota of {:g} cores: fewer would be faster",
                              plan.threads, local_ranks, *facts.quota);
  }
  if (facts.bound_on_request) return plan;

  const auto all = [&] {
    std::vector<int> cpus;
    for (const auto& core : facts.cores) cpus.insert(cpus.end(), core.begin(), core.end());
    std::sort(cpus.begin(), cpus.end());
    return cpus;
  };
  if (plan.threads * ranks < count || plan.threads > share) {
    plan.mask = all();
  } else {
    for (int i = 0; i < share; ++i) {
      const std::vector<int>& core = units[as_index((wishes.local_rank * share + i) % count)];
      plan.mask.insert(plan.mask.end(), core.begin(), core.end());
    }
    std::sort(plan.mask.begin(), plan.mask.end());
  }
  if (plan.mask == facts.mask) plan.mask.clear();
  return plan;
}

}  // namespace moe
