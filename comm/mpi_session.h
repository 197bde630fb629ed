// The life of MPI in a program, and how ranks fail together.
#pragma once
#include <functional>
#include <memory>
#include <string>

#include "comm/communicator.h"

namespace moe {

struct LocalRanks {
  int rank = 0;  // among the ranks on this host
  int size = 1;
};

class MpiSession {
 public:
  // Starts MPI when the program was started by mpirun or srun; a program started on its own stays without it, so that
  // it runs where MPI is not usable.
  MpiSession(int& argc, char**& argv);
  ~MpiSession();
  MpiSession(const MpiSession&) = delete;

  std::shared_ptr<Communicator> world() const { return world_; }
  LocalRanks local() const { return local_; }

 private:
  bool active_ = false;
  std::shared_ptr<Communicator> world_;
  LocalRanks local_;
};

// Runs a program's body and turns exceptions into its exit code. An error on one of several ranks prints "Error: ..."
// with the rank and ends all ranks within seconds with the same code.
int run_program(int argc, char** argv, const std::function<int(MpiSession&)>& body);

}  // namespace moe
