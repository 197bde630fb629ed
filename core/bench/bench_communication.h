// The speed of communication between the ranks of this job: what a plan for more ranks needs to know.
#pragma once
#include <functional>
#include <memory>
#include <string>

#include "comm/communicator.h"

namespace moe {

struct CommunicationBenchOptions {
  int64_t most = int64_t{64} << 20;  // bytes that a rank sends in the largest measurement
  double seconds = 0.5;              // of each measurement
  std::string network;               // file of which the part about links is written; empty: none
};

// Collective. Calls print(line) on the first rank with JSON objects:
//   collective  pair (two ranks send to each other, the others wait), all_to_all (equal rows to all), all_reduce (the
//               sum of gradients)
//   bytes       that each taking part sends; seconds: the median of the slowest rank's times
// Then one object "network" with latency in seconds and bytes per second of a pair of ranks, inside a host and between
// hosts (where there are such pairs): the line seconds = latency + bytes / rate that fits the pairs' times best, by
// their relative errors. With options.network the first rank writes them to that file, together with what exchanges
// and sums among all ranks reach of these rates (core/plan/network.h); its part about computing is kept.
void bench_communication(Communicator& world, const CommunicationBenchOptions& options,
                         const std::function<void(const std::string&)>& print);

}  // namespace moe
