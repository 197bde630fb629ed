// Experts are placed so that the busiest rank of a layer gets as few rows as possible.
#include "core/moe/placement.h"

namespace moe {
namespace {

struct Options : Fields<Options> {
  Duration every = Duration::percent(5);

  void fields(FieldVisitor& v) override {
    v.field("every", every,
            "interval at which experts are placed again, by the rows that each computed since the last time");
  }
};

class LoadPlacement : public Placement {
 public:
  LoadPlacement(const Options& options, const Setup& setup)
      : Placement(updates_between(options.every, options, setup)) {}
  ExpertMap choose(const PlacementInput& input) const override { return balance_rows(input); }
};

}  // namespace

Member load_placement() {
  return member<Placement, LoadPlacement, Options>("load", "balances the rows of the ranks by the measured load");
}

}  // namespace moe
