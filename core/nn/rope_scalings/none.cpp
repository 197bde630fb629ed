// The frequencies theta^(-2j/r) of the rotary embedding as it was published.
#include "core/nn/rope_scaling.h"

namespace moe {
namespace {

class NoRopeScaling : public RopeScaling {
 public:
  NoRopeScaling(const NoFields&, const Setup&) {}
  void apply(RopeFrequencies&) const override {}
};

}  // namespace

Member none_rope_scaling() {
  return member<RopeScaling, NoRopeScaling, NoFields>("none", "the frequencies stay as rope_theta gives them");
}

}  // namespace moe
