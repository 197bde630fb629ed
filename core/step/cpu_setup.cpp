#include "core/step/cpu_setup.h"

#include <omp.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <vector>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

#include "core/base/check.h"
#include "core/base/integer.h"

namespace moe {

static std::vector<int> cores_of(const cpu_set_t& mask) {
  std::vector<int> cores;
  for (int core = 0; core < CPU_SETSIZE; ++core) {
    if (CPU_ISSET(core, &mask)) cores.push_back(core);
  }
  return cores;
}

int allowed_cores() {
  cpu_set_t mask;
  CPU_ZERO(&mask);
  return sched_getaffinity(0, sizeof mask, &mask) == 0 ? CPU_COUNT(&mask) : 1;
}

// All cores that the system allows this process to use, found by requesting all of them. Restores the mask.
static std::vector<int> obtainable_cores() {
  cpu_set_t before, all;
  CPU_ZERO(&before);
  if (sched_getaffinity(0, sizeof before, &before) != 0) return {0};
  std::vector<int> result = cores_of(before);
  CPU_ZERO(&all);
  for (int core = 0; core < CPU_SETSIZE; ++core) CPU_SET(core, &all);
  if (sched_setaffinity(0, sizeof all, &all) == 0 && sched_getaffinity(0, sizeof all, &all) == 0)
    result = cores_of(all);
  sched_setaffinity(0, sizeof before, &before);
  return result;
}

static bool bound_by_mpirun() {
  return std::getenv("OMPI_COMM_WORLD_SIZE") != nullptr;
}

static void flush_denormals() {
#if defined(__SSE2__)
  _MM_SET_FLUSH_ZERO_MODE(_MM_FLUSH_ZERO_ON);
  _MM_SET_DENORMALS_ZERO_MODE(_MM_DENORMALS_ZERO_ON);
#endif
}

CpuSetup setup_cpu(int wanted, const LocalRanks& local) {
  CpuSetup setup;
  const char* omp_threads = std::getenv("OMP_NUM_THREADS");
  // An affinity mask that the user set (taskset, a container, a batch system) is respected. The mask that mpirun sets
  // by default, one core per rank for up to two ranks, is not, because it would leave cores idle.
  const std::vector<int> cores =
      bound_by_mpirun() ? obtainable_cores() : std::vector<int>(static_cast<size_t>(allowed_cores()));
  const int share = std::max(1, static_cast<int>(cores.size()) / std::max(1, local.size));
  setup.threads = wanted > 0 ? wanted : omp_threads && std::atoi(omp_threads) > 0 ? std::atoi(omp_threads) : share;

  if (bound_by_mpirun() && allowed_cores() < std::min<int>(setup.threads, static_cast<int>(cores.size()))) {
    cpu_set_t mine;
    CPU_ZERO(&mine);
    for (int i = 0; i < setup.threads; ++i) {
      CPU_SET(cores[as_index((local.rank * share + i) % static_cast<int>(cores.size()))], &mine);
    }
    if (sched_setaffinity(0, sizeof mine, &mine) == 0) {
      setup.notice = fmt::format("mpirun bound this rank to fewer cores than its {} threads; it now uses {} cores",
                                 setup.threads, allowed_cores());
    } else {
      setup.notice = fmt::format("mpirun bound this rank to {} cores for {} threads; pass --bind-to none",
                                 allowed_cores(), setup.threads);
    }
  }
  omp_set_dynamic(0);
  omp_set_num_threads(setup.threads);
  flush_denormals();
#pragma omp parallel
  flush_denormals();
  return setup;
}

}  // namespace moe
