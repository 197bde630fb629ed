// A stated factor, or a schedule of it (Lepikhin et al., 2021; Fedus et al., 2022).
#include "core/moe/capacity.h"
#include "core/schedule/paced.h"

namespace moe {
namespace {

struct Options : Fields<Options>, CapacityOptions {
  Choice<Schedule> factor = constantly(1.25);
  void fields(FieldVisitor& v) override {
    v.choice("factor", factor, "On the fair share, k times tokens over experts; a number or a schedule.");
    capacity_fields(v);
  }
};

class FixedCapacity : public Capacity {
 public:
  FixedCapacity(const Options& options, const Setup& setup)
      : Capacity(options), factor_("moe.capacity.factor", options.factor, setup.run, {1e-3, 1024}) {}
  double factor(uint64_t update) const override { return factor_.at(update); }
  double largest() const override { return factor_.largest(); }

 private:
  const Paced factor_;
};

}  // namespace

Member fixed_capacity() {
  return member<Capacity, FixedCapacity, Options>("fixed", "a factor on the fair share");
}

}  // namespace moe
