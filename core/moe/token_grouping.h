// The groups of tokens within which some routers and capacities balance.
#pragma once
#include "core/moe/build_context.h"
#include "core/moe/router_traits.h"
#include "core/nn/token_batch.h"
#include "core/ops/token_groups.h"

namespace moe {

struct GroupOptions {
  std::string group = "sequence";
  void group_fields(FieldVisitor& v) {
    v.field("group", group,
            "which tokens share the experts' capacity: those of a sequence, those at the same position in a rank's "
            "micro-batch, or the whole micro-batch; with the last two, results depend on how the batch is split",
            {"sequence", "position", "batch"});
  }
};

inline TokenGroups token_groups(const std::string& group, const TokenBatch& batch) {
  TokenGroups groups{.count = 1, .size = batch.tokens(), .first = 0, .step = 1};
  if (group == "sequence") groups = {batch.sequences, batch.time, batch.time, 1};
  if (group == "position") groups = {batch.time, batch.sequences, 1, batch.time};
  groups.time = batch.time;
  if (batch.lengths) groups.lengths = batch.lengths.as<int32_t>();
  return groups;
}

inline Causality causality_of(const std::string& group) {
  return group == "sequence" ? Causality::sequence : Causality::batch;
}

}  // namespace moe
