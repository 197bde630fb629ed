// scripts/ladder: compares configurations at several sizes, the cheapest first.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/study/compare_study.h"
#include "core/study/sizes.h"

namespace moe {

struct LadderOptions {
  CompareOptions compare;        // of every size
  std::vector<ModelSize> sizes;  // each is a configuration over the base and below the compared ones
  // Tokens per active parameter of the first configuration; 0: those of the smallest size with its configured steps.
  double tokens_per_parameter = 0;
  bool fixed_steps = false;  // every size trains as long as is configured
};

// A size with what the first configuration costs there.
struct SizedStep {
  ModelSize size;
  int64_t steps = 0;
  double tokens_per_step = 0, flops_per_token = 0;
  int64_t active_parameters = 0, parameters = 0;

  double tokens() const { return static_cast<double>(steps) * tokens_per_step; }
  double flops() const { return tokens() * flops_per_token; }
};

// Sets the steps of each size to `ratio` tokens per active parameter, at least 1.
void set_steps(std::vector<SizedStep>& sizes, double ratio);

// Trains what is not trained: DIR/NAME is a comparison of that size. Then prints what moe-inspect ladder finds. Returns
// the program's exit code. Throws UsageError.
int run_ladder(const LadderOptions& options);

}  // namespace moe
