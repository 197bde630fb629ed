// Warm-up, stable, decay (Hu et al., 2024): `value` until the last `decay` of the run, then down to `to`.
#include <algorithm>
#include <cmath>
#include <numbers>

#include "core/schedule/schedule.h"

namespace moe {
namespace {

struct Options : Fields<Options>, ScheduleOptions {
  double value = 1e-3, to = 0;
  Duration decay = Duration::percent(20);
  std::string decay_shape = "sqrt";
  void fields(FieldVisitor& v) override {
    v.field("value", value, "value of the stable part");
    v.field("to", to, "value at the end of the run");
    v.field("decay", decay, "length of the decay at the end of the run");
    v.field("decay_shape", decay_shape,
            "shape of the decay: sqrt = 1 - sqrt(progress), linear, or cosine = half a cosine",
            {"sqrt", "linear", "cosine"});
    common_fields(v);
  }
};

class WsdSchedule : public Schedule {
 public:
  WsdSchedule(const Options& options, const Setup& setup)
      : Schedule(options, setup),
        value_(options.value),
        to_(options.to),
        total_(static_cast<double>(setup.run.total_updates)),
        decay_(to_updates(options.decay, setup.run)),
        shape_(options.decay_shape) {}

 private:
  double shape(double update) const override {
    const double p = decay_ > 0 ? std::clamp((update - (total_ - decay_)) / decay_, 0.0, 1.0) : 0.0;
    const double left = shape_ == "sqrt"     ? 1 - std::sqrt(p)
                        : shape_ == "linear" ? 1 - p
                                             : 0.5 * (1 + std::cos(std::numbers::pi * p));
    return to_ + (value_ - to_) * left;
  }
  double value_, to_, total_, decay_;
  std::string shape_;
};

}  // namespace

Member wsd_schedule() {
  return member<Schedule, WsdSchedule, Options>("wsd", "warm-up, stable value, then a decay at the end of the run");
}

}  // namespace moe
