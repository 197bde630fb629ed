// Counts what a program's threads do together: its OpenMP regions, their barriers, and the time inside of regions.
#pragma once
#include <cstdint>

namespace moe {

struct RegionCounts {
  int64_t regions = 0;   // that several threads entered
  int64_t barriers = 0;  // inside of regions, as the first thread meets them, and at their ends
  double seconds = 0;    // inside of regions, by the first thread's clock
};

// Since the program's start; all zero where it was not compiled with GCC. Only moe-bench has this: parallel_regions.cpp
// replaces functions of GCC's OpenMP library in the program that it is linked into.
RegionCounts region_counts();

}  // namespace moe
