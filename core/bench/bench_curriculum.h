// The cost of a curriculum: drawing a step's samples, updating the store with their signals, and the store's memory and
// file.
#pragma once
#include <cstdint>
#include <functional>
#include <string>

namespace moe {

struct CurriculumBenchOptions {
  int64_t samples = 10'000'000;
  int64_t batch = 32;
  int64_t steps = 300;  // number of measured steps
  double seen = 1;      // share of the samples that are seen before the measurement
  std::string only;     // run only cases whose name contains this; empty: all
};

// Calls print(line) with one JSON object per sampler and pacing: us_draw and us_observe per step (medians), bytes of
// the store, and seconds to write and to read its file.
void bench_curriculum(const CurriculumBenchOptions& options, const std::function<void(const std::string&)>& print);

}  // namespace moe
