// from * offset / (offset + sqrt(t + 1)), where t is the number of whole intervals `every` that have passed. With the
// defaults it is CompeteSMoE's probability of competing, 2 / (2 + sqrt(t + 1)).
#include <algorithm>
#include <cmath>

#include "core/schedule/schedule.h"

namespace moe {
namespace {

struct Options : Fields<Options>, ScheduleOptions {
  double from = 1, offset = 2;
  Duration every = Duration::updates(1000);
  void fields(FieldVisitor& v) override {
    v.field("from", from,
            "factor: the value is from * offset / (offset + sqrt(t + 1)), where t counts the steps so far");
    v.field("offset", offset, "offset in that formula; the larger, the slower the value falls", {1e-6, 1e6});
    v.field("every", every, "length of a step");
    common_fields(v);
  }
};

class InverseRootSchedule : public Schedule {
 public:
  InverseRootSchedule(const Options& options, const Setup& setup)
      : Schedule(options, setup),
        from_(options.from),
        offset_(options.offset),
        every_(std::max(1.0, to_updates(options.every, setup.run))) {}

 private:
  double shape(double update) const override {
    return from_ * offset_ / (offset_ + std::sqrt(std::floor(update / every_) + 1));
  }
  double from_, offset_, every_;
};

}  // namespace

Member inverse_root_schedule() {
  return member<Schedule, InverseRootSchedule, Options>(
      "inverse_root", "falls in steps with an inverse square root, as CompeteSMoE's competition probability");
}

}  // namespace moe
