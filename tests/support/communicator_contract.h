// The contract of every Communicator, checked with its own ranks. Throws InternalError, so that it can be used with
// Catch, threads and programs under mpirun.
#pragma once
#include "comm/communicator.h"

namespace moe::test {

void check_communicator(Communicator& ranks);

}  // namespace moe::test
