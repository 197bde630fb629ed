// Ranks as threads of this process, to test what ranks do together.
#pragma once
#include <functional>
#include <memory>

#include "comm/communicator.h"

namespace moe::test {

// Runs `body` on `num_ranks` threads with one OpenMP thread each and waits for all of them. When a rank
// throws, the others are released from whatever collective they wait in, and the first error is thrown here.
// Ranks that wait for each other in vain, or call collectives that do not fit together, are errors as well.
// Sums are taken in the order of the ranks. Catch's assertions are not for several threads: check on the
// caller's thread afterwards.
void run_ranks(int num_ranks, const std::function<void(std::shared_ptr<Communicator>)>& body);

}  // namespace moe::test
