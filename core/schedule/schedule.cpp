#include "core/schedule/schedule.h"

#include <algorithm>

namespace moe {

Member constant_schedule();
Member linear_schedule();
Member cosine_schedule();
Member wsd_schedule();
Member step_schedule();
Member power_schedule();
Member inverse_root_schedule();
Member table_schedule();

template <>
const Table<Member>& family<Schedule>() {
  static const Table<Member> table{"schedule",
                                   {
                                       constant_schedule(),
                                       linear_schedule(),
                                       cosine_schedule(),
                                       wsd_schedule(),
                                       step_schedule(),
                                       power_schedule(),
                                       inverse_root_schedule(),
                                       table_schedule(),
                                   }};
  return table;
}

double Schedule::at(int64_t update) const {
  const double u = static_cast<double>(update);
  return u < warmup_ ? shape(warmup_) * (u + 1) / (warmup_ + 1) : shape(u);
}

double Schedule::progress(double update, double end) const {
  return end > warmup_ ? std::clamp((update - warmup_) / (end - warmup_), 0.0, 1.0) : 1.0;
}

}  // namespace moe
