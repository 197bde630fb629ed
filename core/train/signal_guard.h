// Handles SIGTERM and SIGINT as requests for an orderly end: all ranks finish the step and save a checkpoint. A second
// signal ends the process immediately. SIGUSR1 is treated as SIGTERM, because Open MPI's mpirun forwards it without
// killing its ranks afterwards.
#pragma once

namespace moe {

class SignalGuard {
 public:
  SignalGuard();
  ~SignalGuard();
  SignalGuard(const SignalGuard&) = delete;

  // The signal that this rank received, SIGINT or SIGTERM, or 0.
  int received() const;
};

}  // namespace moe
