// Handles signals as requests for an orderly end: all ranks finish the step and save a checkpoint. These are SIGTERM
// and SIGINT, of which a second one ends the process at once; SIGUSR1 and SIGUSR2, which Open MPI's mpirun forwards
// without killing its ranks afterwards; SIGHUP, when the terminal is closed; and SIGXCPU, a limit of batch systems.
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
