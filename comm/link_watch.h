// Watches the links between the hosts of a job. MPI waits for a host that no longer answers until the kernel gives up,
// which takes minutes; this notices within a given time, by connections of its own.
#pragma once
#include <functional>
#include <memory>
#include <string>

#include "comm/communicator.h"

namespace moe {

class LinkWatch {
 public:
  static constexpr double kSeconds = 60;
  // Called by the watching thread, with a text for the user, when a host has not answered for the whole time.
  using OnLoss = std::function<void(const std::string& message)>;

  // Collective. The first rank on each host (`local_rank` 0) connects to those of all other hosts, and a thread watches
  // the connections. On a single host, or with `seconds` = 0, nothing is watched. The kernels answer for their
  // processes (TCP keep-alive), so a rank that is busy, stopped or saving is no lost link. A peer that closes its
  // connection is no longer watched: the end of a process is MPI's business. A host that cannot be connected is
  // reported by a warning.
  LinkWatch(Communicator& world, int local_rank, double seconds = kSeconds, OnLoss on_loss = end_job);
  ~LinkWatch();
  LinkWatch(const LinkWatch&) = delete;

  size_t watched() const;  // number of connections

  // Prints the message, ends this process with the exit code for communication, and ends the launcher of its rank
  // (mpirun or its daemon) if that does not end by itself: it may wait for the lost host.
  static void end_job(const std::string& message);

 private:
  class Watcher;
  std::unique_ptr<Watcher> watcher_;
};

}  // namespace moe
