// How many ranks there are, and how they are spread over hosts.
#pragma once
#include <cstdint>

#include "comm/communicator.h"

namespace moe {

struct RankCounts {
  int64_t ranks = 1;
  int64_t per_host = 1;  // the largest number that divides the ranks of every host

  static RankCounts of(const Communicator& world);
  static RankCounts on_one_host(int64_t ranks) { return {ranks, ranks}; }
};

}  // namespace moe
