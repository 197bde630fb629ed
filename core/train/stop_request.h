// When a run is to end before its last update: on a signal, or because train.time_limit is near. Rank 0's clock decides
// for all ranks.
#pragma once
#include "comm/communicator.h"
#include "core/base/units.h"
#include "core/train/signal_guard.h"

namespace moe {

// Seconds since this process was started.
double process_seconds();

class StopRequest {
 public:
  // `has_clock`: whether this rank watches the time; rank 0 does. `limit`: 0 = none.
  StopRequest(const Duration& limit, bool has_clock);

  // How long the longest update and the longest checkpoint have taken, in seconds. What comes next is expected not to
  // take longer.
  // Until the first checkpoint was saved, the expected time counts.
  void expect_checkpoint(double seconds);
  void took_update(double seconds);
  void took_checkpoint(double seconds);

  // SIGINT or SIGTERM if this rank asks for the end: by a signal that it received, or as SIGTERM because an update that
  // begins now would be the last that leaves time for a checkpoint.
  int before_update() const;
  // Collective: the same before the next part of an evaluation or a sample, which takes so long; equal on every rank.
  int before_part(double next_seconds, Communicator& ranks) const;

  // Whether the time limit is the reason.
  bool is_late() const { return signals_.received() == 0; }

 private:
  int wanted(double next_seconds) const;

  SignalGuard signals_;
  double limit_;
  bool has_clock_;
  double update_ = 0, checkpoint_ = 0;
  bool has_saved_ = false;
};

}  // namespace moe
