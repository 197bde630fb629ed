// Threads, cores and floating-point mode of this process.
#pragma once
#include <string>

#include "comm/mpi_session.h"

namespace moe {

struct CpuSetup {
  int threads = 1;     // OpenMP threads of this rank
  std::string notice;  // a notice for the user about core binding, or empty
};

// Sets the number of threads (`wanted`, or cores / local ranks), widens an affinity mask that mpirun made narrower than
// that, and turns on flushing of denormal numbers to zero in every thread. Call it before the first parallel region.
CpuSetup setup_cpu(int wanted, const LocalRanks& local);

// Number of cores in this process's affinity mask.
int allowed_cores();

}  // namespace moe
