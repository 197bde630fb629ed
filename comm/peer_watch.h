// Notices ranks that are lost, and ends the job with their names: MPI itself waits for minutes, or for ever.
#pragma once
#include <functional>
#include <memory>
#include <string>

#include "comm/communicator.h"

namespace moe {

class PeerWatch {
 public:
  struct Options {
    double seconds = 60;        // a link without an answer for so long is cut; 0: nothing is watched
    bool ends_stopped = false;  // so is a process that is stopped for so long
  };
  // Called by the watching thread, at most once, with a text for the user. It is empty if the first rank of this host
  // was the one that noticed, and prints it.
  using OnLoss = std::function<void(const std::string& message)>;

  // Collective. The first ranks of the hosts watch each other, and each watches the other ranks of its host, which
  // watch it; so a job of 1,024 ranks needs no million connections. Lost is:
  // - a host whose link is cut: its kernel does not answer (TCP keep-alive), which a busy or stopped rank's does;
  // - a rank that ends without having destroyed its watch: it was killed;
  // - with `ends_stopped` a rank whose watching thread sends no sign of life: it, or its machine, is stopped.
  // The rank that notices sends the reason to the others. A rank that ends by an exception is not lost: it announces
  // its end, and ends the job itself. Ranks that cannot be connected are named in a warning and not watched.
  explicit PeerWatch(Communicator& world, Options options, OnLoss on_loss = end_job);
  explicit PeerWatch(Communicator& world) : PeerWatch(world, Options{}) {}
  ~PeerWatch();
  PeerWatch(const PeerWatch&) = delete;

  size_t watched() const;  // number of connections
  // For tests: closes the connections without a word, as the kernel does for a killed process.
  void vanish();

  // Prints the message, ends this process with the exit code for communication, and ends the mpirun or daemon
  // that started it if that does not end by itself: it may wait for a lost host.
  static void end_job(const std::string& message);

 private:
  class Watcher;
  std::unique_ptr<Watcher> watcher_;
};

}  // namespace moe
