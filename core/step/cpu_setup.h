// Threads, cores and floating-point mode of this process.
#pragma once
#include <string>

#include "comm/mpi_session.h"

namespace moe {

struct CpuSetup {
  int threads = 1;     // OpenMP threads of this rank
  std::string notice;  // something the user should know about the binding, or empty
};

// Decides the threads (`wanted`, or cores / local ranks), widens an affinity mask that mpirun narrowed to less than
// that, and makes denormal numbers zero in every thread. Call before the first parallel region.
CpuSetup setup_cpu(int wanted, const LocalRanks& local);

// Physical-address-space view for people: cores this process may use.
int allowed_cores();

}  // namespace moe
