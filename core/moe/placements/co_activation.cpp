// Experts that the same tokens choose are placed on the same rank, within a bound on the rows of the busiest rank.
// Placing experts by what tokens choose together is known from inference (Yao et al., 2024, ExFlow, between layers);
// here it is measured within a layer and during training.
#include "core/moe/placement.h"

namespace moe {
namespace {

struct Options : Fields<Options> {
  Duration every = Duration::percent(5);
  double slack = 0.1;

  void fields(FieldVisitor& v) override {
    v.field("every", every,
            "interval at which experts are placed again, by the tokens that chose two experts together since the last "
            "time");
    v.field("slack", slack,
            "rows that the busiest rank may get beyond those that it has with `kind: load`, as a fraction of them",
            {0, 10});
  }
};

class CoActivationPlacement : public Placement {
 public:
  CoActivationPlacement(const Options& options, const Setup& setup)
      : Placement(updates_between(options.every, options, setup)), slack_(options.slack) {}
  bool counts_pairs() const override { return true; }
  ExpertMap choose(const PlacementInput& input) const override { return keep_together(input, slack_); }

 private:
  const double slack_;
};

}  // namespace

Member co_activation_placement() {
  return member<Placement, CoActivationPlacement, Options>(
      "co_activation",
      "keeps experts that the same tokens choose on the same rank, and bounds the busiest rank's rows");
}

}  // namespace moe
