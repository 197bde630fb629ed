// Initialisation and finalisation of MPI in a program, and the joint exit of all ranks after an error.
#pragma once
#include <functional>
#include <memory>
#include <string>

#include "comm/communicator.h"

namespace moe {

struct LocalRanks {
  int rank = 0;  // index among the ranks on this host
  int size = 1;
};

class MpiSession {
 public:
  // Initialises MPI if the program was started by mpirun or srun. A program that was started directly does not use MPI,
  // so that it also runs where MPI does not work.
  MpiSession(int& argc, char**& argv);
  ~MpiSession();
  MpiSession(const MpiSession&) = delete;

  std::shared_ptr<Communicator> world() const { return world_; }
  LocalRanks local() const { return local_; }
  // A warning if the launcher seems to have started more ranks than MPI connects; else empty.
  std::string notice() const;

 private:
  bool active_ = false;
  std::shared_ptr<Communicator> world_;
  LocalRanks local_;
};

// Runs a program's body and converts exceptions to the exit code. An error on one of several ranks prints "Error: ..."
// with the rank, and ends all ranks within seconds with the same code.
int run_program(int argc, char** argv, const std::function<int(MpiSession&)>& body);

}  // namespace moe
