#include "core/schedule/scheduled.h"

#include <algorithm>

namespace moe {

// Number of updates at which extremes are searched. It is large enough, because all members are piecewise monotone
// between their corners.
static constexpr int64_t kProbes = 256;

static std::shared_ptr<Schedule> make_schedule(const Choice<Schedule>& choice, const RunLength& run,
                                               const FieldPlace& place) {
  try {
    return choice.make(Schedule::Setup{run});
  } catch (const UsageError& error) {
    raise<UsageError>("{}: {}", place.to_string(), error.what());
  }
}

Scheduled::Scheduled(const Choice<Schedule>& choice, const RunLength& run, const Range<double>& range,
                     const FieldPlace& place)
    : schedule_(make_schedule(choice, run, place)), range_(range) {
  const int64_t last = std::max<int64_t>(run.total_updates - 1, 0);
  smallest_ = largest_ = schedule_->at(0);
  const auto probe = [&](int64_t update) {
    const double value = schedule_->at(std::clamp<int64_t>(update, 0, last));
    smallest_ = std::min(smallest_, value);
    largest_ = std::max(largest_, value);
  };
  for (int64_t i = 1; i <= kProbes; ++i) probe(last * i / kProbes);
  for (const double corner : schedule_->corners()) {
    const auto before = static_cast<int64_t>(std::min(corner, static_cast<double>(last)));
    probe(before), probe(before + 1);
  }
  if (smallest_ >= range.min && largest_ <= range.max) return;
  if (smallest_ == largest_) {
    raise<UsageError>("{} '{}': must be {}", place.to_string(), smallest_, requirement(range));
  }
  raise<UsageError>("{}: must be {} throughout the run; its schedule goes from {} to {}", place.to_string(),
                    requirement(range), smallest_, largest_);
}

double Scheduled::at(uint64_t update) const {
  return std::clamp(schedule_->at(static_cast<int64_t>(update)), range_.min, range_.max);
}

ScheduleField::ScheduleField(double constant, Range<double> range)
    : Choice<Schedule>(constantly(constant)), range_(range) {}

ScheduleField::ScheduleField(const Choice<Schedule>& schedule, Range<double> range)
    : Choice<Schedule>(schedule), range_(range) {}

ScheduleField::ScheduleField(const ScheduleField&) = default;
ScheduleField& ScheduleField::operator=(const ScheduleField&) = default;
ScheduleField::~ScheduleField() = default;

ScheduleField& ScheduleField::operator=(const Choice<Schedule>& schedule) {
  Choice<Schedule>::operator=(schedule);
  return *this;
}

ScheduleField& ScheduleField::operator=(double constant) {
  return *this = constantly(constant);
}

Scheduled ScheduleField::make(const RunLength& run) const {
  return make(run, range_);
}

Scheduled ScheduleField::make(const RunLength& run, const Range<double>& range) const {
  return {*this, run, range, place_};
}

}  // namespace moe
