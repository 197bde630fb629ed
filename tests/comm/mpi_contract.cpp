// The communicator's contract on MPI; CTest runs it under mpirun.
#include <cstdio>

#include "comm/mpi_session.h"
#include "tests/support/communicator_contract.h"

int main(int argc, char** argv) {
  return moe::run_program(argc, argv, [](moe::MpiSession& session) {
    if (session.world()->size() < 2) throw moe::UsageError("start this with mpirun -n 2 or more");
    moe::test::check_communicator(*session.world());
    if (session.world()->rank() == 0) std::puts("the contract is kept");
    return 0;
  });
}
