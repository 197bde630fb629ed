// All keys of a configuration that follow a schedule, with their values at an update. This is for records and reports;
// the code that uses a quantity has a separate Scheduled.
#pragma once
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/config/train_config.h"
#include "core/schedule/scheduled.h"

namespace moe {

class ScheduledQuantities {
 public:
  // Excludes the learning rate, which is in every record anyway, and constants without a warm-up.
  ScheduledQuantities(TrainConfig config, const RunLength& run);

  // Keys as in YAML, list members by number ("moe.balance.0.coefficient"), and their values at an update counted from
  // 0. Integers such as k are reported as the schedule's value, not rounded.
  std::vector<std::pair<std::string, double>> at(int64_t update) const;
  bool empty() const { return quantities_.empty(); }

 private:
  struct Quantity {
    std::string key;
    Scheduled value;
  };
  std::vector<Quantity> quantities_;
};

}  // namespace moe
