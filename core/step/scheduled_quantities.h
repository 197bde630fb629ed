// Every key of a configuration that follows a schedule, and its value at an update. For records and reports; the code
// that uses a quantity holds a Scheduled of its own.
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
  // The learning rate, which every record has anyway, and constants without a warm-up are left out.
  ScheduledQuantities(TrainConfig config, const RunLength& run);

  // Keys as in YAML, list members by number ("moe.balance.0.coefficient"), and their values at an update counted from
  // 0. A whole number like k is reported as the schedule has it, not rounded.
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
