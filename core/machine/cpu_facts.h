// What a process finds out about the CPUs that it may use. Terms: a CPU is what Linux numbers; the CPUs of one physical
// core are its hardware threads.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "core/machine/system_files.h"

namespace moe {

struct CpuFacts {
  std::vector<int> mask;           // the CPUs that this process is bound to
  std::vector<int> launcher_mask;  // those that mpirun, its daemon or a batch system's is bound to; empty without one
  // The own mask is meant: there is no launcher, it is a batch system's, or mpirun was told how to bind (--bind-to,
  // --cpu-set, ...). Otherwise it is mpirun's default.
  bool bound_on_request = true;
  // The hardware threads of each physical core, over the own mask if that is meant, else over the launcher's.
  std::vector<std::vector<int>> cores;
  std::optional<double> quota;  // CPU time per time that the cgroup allows
};

// Never fails: where a file cannot be read, its fact is absent, and a mask that cannot be read is that of CPU 0.
CpuFacts read_cpu_facts(const SystemFiles& files);

// The process number of Open MPI's program (mpirun or its daemon) that started this one as a rank; 0 if another did,
// such as Slurm's, or none.
int open_mpi_launcher(const SystemFiles& files);

// The threads that a rank should use, and the CPUs that it should be bound to.
struct CpuPlan {
  int threads = 1;
  std::vector<int> mask;  // empty: the mask stays as it is
  std::string source;     // of the number of threads: "of 2 cores", "a CPU quota of 0.5 cores", "parallel.threads"
  std::string notice;     // for the user, or empty
};

struct CpuWishes {
  int threads = 0;        // parallel.threads; 0: not given
  int omp_threads = 0;    // OMP_NUM_THREADS; 0: not given
  bool hardware = false;  // parallel.hardware_threads: count each hardware thread as a core
  int local_rank = 0, local_ranks = 1;
};

// - Without a wish, the host's ranks share the physical cores of the outer mask, or fewer by the quota; at least one
// each.
// - A mask that the user, a container or a batch system has set is never widened: a rank of mpirun uses at most the
// CPUs
//   that mpirun itself may use, and a binding that mpirun was asked for stays.
// - mpirun's default binding, one core per rank for up to two ranks, is replaced: if the ranks' threads leave cores
// free,
//   the ranks may use all of them, because another job would otherwise be bound to the same first cores; if not, each
//   rank is bound to its share.
CpuPlan plan_cpus(const CpuFacts& facts, const CpuWishes& wishes);

}  // namespace moe
