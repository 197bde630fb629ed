// What a curriculum costs: drawing a step's samples, telling the store of them, and the store's memory and file.
#pragma once
#include <cstdint>
#include <functional>
#include <string>

namespace moe {

struct CurriculumBenchOptions {
  int64_t samples = 10'000'000;
  int64_t batch = 32;
  int64_t steps = 300;  // measured
  double seen = 1;      // share of the samples that are seen before
  std::string only;     // cases whose name contains this; empty: all
};

// Calls print(line) with one JSON object per sampler and pacing: us_draw and us_observe per step (medians), bytes of
// the store, seconds to write and to read its file.
void bench_curriculum(const CurriculumBenchOptions& options, const std::function<void(const std::string&)>& print);

}  // namespace moe
