#include "core/optim/reduction_plan.h"

#include <algorithm>
#include <numeric>
#include <optional>

#include "core/base/integer.h"

namespace moe {
namespace {

// A run of a buffer, from one parameter's beginning to the next one's.
struct Run {
  int64_t begin, end, complete_at;
};

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

Share GradientBucket::part_of(int rank) const {
  return {begin + std::accumulate(parts.begin(), parts.begin() + rank, int64_t{0}), parts[as_index(rank)]};
}

int64_t completed_at(const Parameter& p) {
  if (p.place.layer >= 0) return p.place.layer;
  // A tied head is an embedding.
  return p.place.role == ParameterRole::head ? GradientBucket::kBeforeBlocks : GradientBucket::kAtEnd;
}

// Cuts a bucket into consecutive parts. Each unit goes to the rank that has the fewest elements so far.
static std::vector<int64_t> parts_of(int64_t count, int64_t unit, std::vector<int64_t>& held) {
  std::vector<int64_t> parts(held.size());
  for (int64_t begin = 0; begin < count; begin += unit) {
    const auto least = std::min_element(held.begin(), held.end()) - held.begin();
    const int64_t elements = std::min(unit, count - begin);
    held[as_index(least)] += elements;
    parts[as_index(least)] += elements;
  }
  return parts;
}

std::vector<GradientBucket> plan_reduction(ParameterStore& parameters, const ProcessGroups& groups, int64_t least,
                                           int64_t unit) {
  std::vector<GradientBucket> plan;
  least = round_up(least, unit);
  for (const ParameterGroup group : kTrainedGroups) {
    const int ranks = reduced_over(groups, group).size();
    const ParameterBuffer& buffer = parameters.buffer(group);
    std::vector<int64_t> held(as_index(ranks));
    int64_t end = buffer.value.size();  // of what is not in a bucket yet: buckets are taken from the end
    int64_t rest_complete_at = GradientBucket::kBeforeBlocks;  // of a run's elements that are left to the next bucket
    const auto append = [&](const Run& run) {
      const int64_t first = std::min(round_up(run.begin, unit), end);
      const int64_t complete_at = std::min(run.complete_at, rest_complete_at);
      rest_complete_at = first > run.begin ? complete_at : GradientBucket::kBeforeBlocks;
      for (int64_t begin = first; begin < end; begin += least) {
        const int64_t count = std::min(least, end - begin);
        plan.push_back(
            {group, begin, count, complete_at, unit == 1 ? equal_parts(count, ranks) : parts_of(count, unit, held)});
      }
      end = first;
    };
    for (const bool decay : {false, true}) {
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

size_t message_bytes(const std::vector<GradientBucket>& plan, DType dtype) {
  int64_t most = 0;
  for (const GradientBucket& bucket : plan) most = std::max(most, bucket.count);
  return static_cast<size_t>(most * std::min(Communicator::kSumsAtOnce, std::ssize(plan))) * size_of(dtype);
}

}  // namespace moe
