// Neighbouring experts are on the same rank, for the whole run.
#include "core/moe/placement.h"

namespace moe {
namespace {

class ContiguousPlacement : public Placement {
 public:
  ContiguousPlacement(const NoFields&, const Setup&) : Placement(0) {}
  bool moves() const override { return false; }
  ExpertMap choose(const PlacementInput& input) const override {
    return ExpertMap::contiguous(input.now.experts(), input.now.ranks());
  }
};

}  // namespace

Member contiguous_placement() {
  return member<Placement, ContiguousPlacement, NoFields>("contiguous",
                                                          "experts stay in order: the first rank holds the first ones");
}

}  // namespace moe
