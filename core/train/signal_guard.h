// SIGTERM and SIGINT ask for an orderly end: the step is finished on all ranks, a checkpoint is saved. A second signal
// ends the process at once. SIGUSR1 counts as SIGTERM: Open MPI's mpirun passes it on without killing its ranks
// afterwards.
#pragma once

namespace moe {

class SignalGuard {
 public:
  SignalGuard();
  ~SignalGuard();
  SignalGuard(const SignalGuard&) = delete;

  // The signal that arrived at this rank, SIGINT or SIGTERM, or 0.
  int received() const;
};

}  // namespace moe
