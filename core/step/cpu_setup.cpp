#include "core/step/cpu_setup.h"

#include <omp.h>
#include <sched.h>

#include <cstdlib>
#include <memory>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

#include "core/machine/cpu_facts.h"

namespace moe {

static void flush_denormals() {
#if defined(__SSE2__)
  _MM_SET_FLUSH_ZERO_MODE(_MM_FLUSH_ZERO_ON);
  _MM_SET_DENORMALS_ZERO_MODE(_MM_DENORMALS_ZERO_ON);
#endif
}

// `cpus` in ascending order. Returns whether the system allowed it. The set is allocated, because that of cpu_set_t
// ends at 1,024 CPUs.
static bool bind_to(const std::vector<int>& cpus) {
  const auto count = static_cast<size_t>(cpus.back()) + 1;
  const auto free = [](cpu_set_t* set) { CPU_FREE(set); };
  const std::unique_ptr<cpu_set_t, decltype(free)> set(CPU_ALLOC(count), free);
  if (!set) return false;
  const size_t bytes = CPU_ALLOC_SIZE(count);
  CPU_ZERO_S(bytes, set.get());
  for (const int cpu : cpus) CPU_SET_S(static_cast<size_t>(cpu), bytes, set.get());
  return sched_setaffinity(0, bytes, set.get()) == 0;
}

CpuSetup setup_cpu(int wanted, bool hardware_threads, const LocalRanks& local) {
  const char* omp_threads = std::getenv("OMP_NUM_THREADS");
  const CpuPlan plan =
      plan_cpus(read_cpu_facts(SystemFiles()), {.threads = wanted,
                                                .omp_threads = omp_threads ? std::atoi(omp_threads) : 0,
                                                .hardware = hardware_threads,
                                                .local_rank = local.rank,
                                                .local_ranks = local.size});
  CpuSetup setup{.threads = plan.threads, .source = plan.source, .local_ranks = local.size, .notice = plan.notice};
  if (!plan.mask.empty() && !bind_to(plan.mask)) {
    setup.notice =
        fmt::format("mpirun bound this rank to other CPUs than {}, and it cannot change that; pass --bind-to none",
                    cpu_list_text(plan.mask));
  }
  omp_set_dynamic(0);
  omp_set_num_threads(setup.threads);
  flush_denormals();
#pragma omp parallel
  flush_denormals();
  return setup;
}

}  // namespace moe
