// The order in which gradients are reduced: in parts of the buffers ("buckets") that backward completes together.
#pragma once
#include <vector>

#include "comm/process_groups.h"
#include "core/nn/parameter.h"

namespace moe {

struct GradientBucket {
  // A place in the order of backward: block B is complete at B, and what comes before all blocks at kBeforeBlocks.
  static constexpr int64_t kBeforeBlocks = INT64_MAX;
  static constexpr int64_t kAtEnd = -1;

  ParameterGroup group = ParameterGroup::shared;
  int64_t begin = 0, count = 0;  // elements of the group's buffer
  int64_t complete_at = kAtEnd;  // the last of the places of its parameters
  std::vector<int64_t> parts;    // for each rank that has the same parameters: the elements that it adds

  // The block that completes it; -1 for what is complete before all blocks or at the end.
  int block() const { return complete_at == kBeforeBlocks ? -1 : static_cast<int>(complete_at); }
  // A rank's part, as elements of the group's buffer.
  Share part_of(int rank) const;
};

// The place at which the gradient of a parameter is complete.
int64_t completed_at(const Parameter& parameter);

// Covers the gradients of both groups, by place: those that are complete first come first. Neighbours in a buffer that
// are completed by different blocks are joined until they have `least` elements, and longer runs are cut into parts of
// at most that many. Depends on the model and the ranks alone, so it is the same everywhere. Buckets and parts begin at
// multiples of `unit` elements of the buffer; over all buckets, the ranks' parts of a group differ by at most one unit.
std::vector<GradientBucket> plan_reduction(ParameterStore& parameters, const ProcessGroups& groups, int64_t least,
                                           int64_t unit = 1);

// Bytes of the messages that host tensors' reduction keeps at once; 0 for a single rank.
size_t message_bytes(const std::vector<GradientBucket>& plan, DType dtype);

// The ranks over which a group's gradients are added.
inline Communicator& reduced_over(const ProcessGroups& groups, ParameterGroup group) {
  return group == ParameterGroup::expert ? *groups.data : *groups.world;
}

}  // namespace moe
