#include "core/optim/reduction_plan.h"

#include <algorithm>

namespace moe {
namespace {

// A run of a buffer, from one parameter's beginning to the next one's.
struct Run {
  int64_t begin, end, complete_at;
};

int64_t completed_at(const Parameter& p) {
  if (p.place.layer >= 0) return p.place.layer;
  // A tied head is an embedding.
  return p.place.role == ParameterRole::head ? GradientBucket::kBeforeBlocks : GradientBucket::kAtEnd;
}

// The runs of the parameters that are decayed, or of the others, in the order of the buffer.
std::vector<Run> runs_of(const ParameterStore& parameters, ParameterGroup group, const ParameterBuffer& buffer,
                         bool decay) {
  std::vector<Run> runs;
  for (const Parameter& p : parameters.parameters()) {
    if (p.group != group || p.decay != decay) continue;
    const int64_t begin = element_offset(p.value, buffer.value);
    if (!runs.empty()) runs.back().end = begin;  // with the gap before the parameter
    const int64_t at = completed_at(p);
    if (runs.empty() || runs.back().complete_at != at) runs.push_back({begin, begin, at});
  }
  if (!runs.empty()) runs.back().end = decay ? buffer.num_decayed : buffer.value.size();
  return runs;
}

}  // namespace

std::vector<GradientBucket> plan_reduction(ParameterStore& parameters, const ProcessGroups& groups, int64_t least) {
  std::vector<GradientBucket> plan;
  for (const ParameterGroup group : kTrainedGroups) {
    const int ranks = reduced_over(groups, group).size();
    const ParameterBuffer& buffer = parameters.buffer(group);
    const auto append = [&](const Run& run) {
      for (int64_t begin = run.begin; begin < run.end; begin += least) {
        const int64_t count = std::min(least, run.end - begin);
        plan.push_back({group, begin, count, run.complete_at, equal_parts(count, ranks)});
      }
    };
    for (const bool decay : {true, false}) {
      // From the end of the buffer, whose blocks are complete first.
      std::vector<Run> runs = runs_of(parameters, group, buffer, decay);
      std::optional<Run> joined;
      for (auto run = runs.rbegin(); run != runs.rend(); ++run) {
        const bool long_enough = joined && joined->end - joined->begin >= least;
        // What is complete only at the end delays nothing else.
        const bool other =
            joined && (joined->complete_at == GradientBucket::kAtEnd) != (run->complete_at == GradientBucket::kAtEnd);
        if (long_enough || other) {
          append(*joined);
          joined.reset();
        }
        if (!joined) {
          joined = *run;
        } else {
          joined->begin = run->begin;
          joined->complete_at = std::min(joined->complete_at, run->complete_at);
        }
      }
      if (joined) append(*joined);
    }
  }
  std::stable_sort(plan.begin(), plan.end(), [](const GradientBucket& left, const GradientBucket& right) {
    return left.complete_at > right.complete_at;
  });
  return plan;
}

}  // namespace moe
