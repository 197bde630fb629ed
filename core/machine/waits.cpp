#include "core/machine/waits.h"

#include <unistd.h>

#include <cstdlib>

#include "core/machine/cgroup.h"
#include "core/machine/cpu_facts.h"

namespace moe {

void let_waits_give_way(char** argv) {
  const char* ranks = std::getenv("OMPI_COMM_WORLD_LOCAL_SIZE");
  // Without ranks only a quota matters, and a program that only prints its version should not ask about every CPU.
  if (!ranks && !read_cgroup_limits(SystemFiles()).cores) return;
  const CpuFacts facts = read_cpu_facts(SystemFiles());
  const double cpus = static_cast<double>(facts.cores.size()), cores = facts.quota.value_or(cpus);
  if (ranks && std::atof(ranks) > cores) {
    setenv("OMPI_MCA_mpi_yield_when_idle", "1", 0);
  }
  if (cores >= cpus || std::getenv("GOMP_SPINCOUNT") || std::getenv("OMP_WAIT_POLICY")) return;
  // GCC's own choice when there are more threads than CPUs, of which it does not count those that a quota takes away.
  setenv("GOMP_SPINCOUNT", "1000", 1);
  execv("/proc/self/exe", argv);
  // Without /proc the program goes on as it is.
}

}  // namespace moe
