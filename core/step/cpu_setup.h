// Threads, cores and floating-point mode of this process.
#pragma once
#include <string>

#include "comm/mpi_session.h"

namespace moe {

struct CpuSetup {
  int threads = 1;      // OpenMP threads of this rank
  std::string source;   // where their number is from: "2 cores", "a CPU quota of 0.5 cores", "parallel.threads"
  int local_ranks = 1;  // that share this host
  std::string notice;   // a notice for the user about cores, or empty
};

// Sets the number of threads and the CPUs of this rank by the rules of core/machine/cpu_facts.h, and turns on flushing
// of denormal numbers to zero in every thread. `wanted`: parallel.threads, 0 for the default; `hardware_threads`: count
// each hardware thread of a core. Call it before the first parallel region.
CpuSetup setup_cpu(int wanted, bool hardware_threads, const LocalRanks& local);

}  // namespace moe
