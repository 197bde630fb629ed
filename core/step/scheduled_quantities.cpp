#include "core/step/scheduled_quantities.h"

#include "core/config/field_walker.h"

namespace moe {
namespace {

class ScheduleVisitor : public FieldWalker {
 public:
  std::vector<std::pair<std::string, const ScheduleField*>> found;

 private:
  void schedule(const char* name, ScheduleField& value, const char*) override { found.emplace_back(key(name), &value); }
};

}  // namespace

ScheduledQuantities::ScheduledQuantities(TrainConfig config, const RunLength& run) {
  ScheduleVisitor visitor;
  visitor.enter("", config);
  for (const auto& [key, field] : visitor.found) {
    if (field == &config.train.learning_rate) continue;
    const Scheduled quantity = field->make(run);
    if (field->kind() == "constant" && quantity.warmup() == 0) continue;
    quantities_.push_back({key, quantity});
  }
}

std::vector<std::pair<std::string, double>> ScheduledQuantities::at(int64_t update) const {
  std::vector<std::pair<std::string, double>> values;
  for (const Quantity& quantity : quantities_) {
    values.emplace_back(quantity.key, quantity.value.at(static_cast<uint64_t>(update)));
  }
  return values;
}

}  // namespace moe
