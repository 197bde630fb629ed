// Ranks as threads of this process, for tests of collective operations.
#pragma once
#include <functional>
#include <memory>
#include <vector>

#include "comm/communicator.h"

namespace moe::test {

// Runs `body` on `num_ranks` threads with one OpenMP thread each and waits for all of them. When a rank throws, the
// others are released from the collective in which they wait, and the first error is thrown here. A deadlock of ranks,
// or mismatched collectives, are errors too. Sums are taken in the order of the ranks. Catch's assertions are not
// thread-safe: use them on the caller's thread afterwards.
// `hosts`: the host of each rank; by default all are on one.
void run_ranks(int num_ranks, const std::function<void(std::shared_ptr<Communicator>)>& body,
               std::vector<int> hosts = {});

}  // namespace moe::test
