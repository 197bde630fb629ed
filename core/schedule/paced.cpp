#include "core/schedule/paced.h"

#include <algorithm>

#include "core/schedule/named_schedule.h"

namespace moe {

// Every member is monotone between its corners or piecewise so: this many show its extremes closely enough.
static constexpr int64_t kProbes = 256;

Paced::Paced(const std::string& name, const Choice<Schedule>& choice, const RunLength& run, Range<double> range)
    : schedule_(make_schedule(name, choice, run)), range_(range) {
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
  if (smallest_ < range.min || largest_ > range.max) {
    raise<UsageError>("{}: its schedule goes from {} to {}, which leaves the range {} to {}", name, smallest_, largest_,
                      range.min, range.max);
  }
}

double Paced::at(uint64_t update) const {
  return std::clamp(schedule_->at(static_cast<int64_t>(update)), range_.min, range_.max);
}

}  // namespace moe
