// SIGTERM and SIGINT ask for an orderly end: the step is finished on all ranks, a checkpoint is saved. A second signal ends
// the process at once.
#pragma once

namespace moe {

class SignalGuard {
 public:
  SignalGuard();
  ~SignalGuard();
  SignalGuard(const SignalGuard&) = delete;

  // The signal that arrived at this rank, or 0.
  int received() const;
};

}  // namespace moe
