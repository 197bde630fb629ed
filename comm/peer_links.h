// TCP connections between processes of a job besides those of MPI: the kernels and these processes themselves answer on
// them, whatever MPI is doing.
#pragma once
#include <string>
#include <utility>
#include <vector>

#include "comm/communicator.h"

namespace moe {

// A file descriptor that is closed.
class Socket {
 public:
  explicit Socket(int descriptor = -1) : descriptor_(descriptor) {}
  Socket(Socket&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  Socket& operator=(Socket&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    return *this;
  }
  ~Socket();
  int get() const { return descriptor_; }
  explicit operator bool() const { return descriptor_ >= 0; }

 private:
  int descriptor_;
};

struct Peer {
  int rank = 0;
  std::string host;     // its name
  bool is_here = true;  // on this host
};

struct PeerLink {
  Socket socket;
  Peer peer;
};

struct PeerLinks {
  std::vector<PeerLink> links;
  std::vector<Peer> missing;  // could not be connected
};

// Collective. Connects the first rank of each host with those of all other hosts and with all ranks of its own. Sockets
// do not block.
PeerLinks connect_peers(Communicator& world);

}  // namespace moe
