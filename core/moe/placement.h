// Placement: which rank of an expert group holds which expert, chosen from what a run has measured of a layer. Members
// are in placements/, the table in placement.cpp; core/lifecycle/expert_placement.h measures, decides when experts are
// placed again, and moves them.
#pragma once
#include <memory>

#include "core/config/train_config.h"
#include "core/moe/place_experts.h"

namespace moe {

class Placement {
 public:
  struct Setup {
    RunLength run;
  };
  virtual ~Placement() = default;

  // Whether experts leave their contiguous shares at all.
  virtual bool moves() const { return true; }
  // Whether choose() needs the pairs of experts that tokens choose.
  virtual bool counts_pairs() const { return false; }
  // Whether the experts are placed again after `step` updates.
  bool is_due(int64_t step) const { return every_ > 0 && step > 0 && step % every_ == 0; }
  // The map for a layer. It depends on the input alone.
  virtual ExpertMap choose(const PlacementInput& input) const = 0;

 protected:
  explicit Placement(int64_t every) : every_(every) {}
  // The field `every` of a member's options as a number of updates. Throws UsageError for 0.
  static int64_t updates_between(const Duration& every, const FieldSet& fields, const Setup& setup);

 private:
  const int64_t every_;  // updates; 0: never
};

}  // namespace moe
