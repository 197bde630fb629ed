// What every Communicator has to do, checked with its own ranks. Throws InternalError, so that it serves
// Catch, threads and programs under mpirun alike.
#pragma once
#include "comm/communicator.h"

namespace moe::test {

void check_communicator(Communicator& ranks);

}  // namespace moe::test
