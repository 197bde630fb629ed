// A fixed factor, or a schedule of it (Lepikhin et al., 2021; Fedus et al., 2022).
#include "core/moe/capacity.h"
#include "core/schedule/scheduled.h"

namespace moe {
namespace {

struct Options : Fields<Options>, CapacityOptions {
  ScheduleField factor{1.25, {1e-3, 1024}};
  void fields(FieldVisitor& v) override {
    v.schedule(
        "factor", factor,
        "Capacity factor: an expert takes at most this factor times its fair share, which is k * tokens / experts.");
    capacity_fields(v);
  }
};

class FixedCapacity : public Capacity {
 public:
  FixedCapacity(const Options& options, const Setup& setup)
      : Capacity(options), factor_(options.factor.make(setup.run)) {}
  double factor(uint64_t update) const override { return factor_.at(update); }
  double largest() const override { return factor_.largest(); }

 private:
  const Scheduled factor_;
};

}  // namespace

Member fixed_capacity() {
  return member<Capacity, FixedCapacity, Options>("fixed", "a fixed or scheduled factor on the fair share");
}

}  // namespace moe
