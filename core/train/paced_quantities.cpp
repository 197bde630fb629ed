#include "core/train/paced_quantities.h"

#include <functional>

#include "core/schedule/named_schedule.h"

namespace moe {
namespace {

// Visits every choice of a configuration, those inside chosen members too.
class ScheduleVisitor : public FieldVisitor {
 public:
  using Found = std::function<void(const std::string& key, const Choice<Schedule>& schedule)>;
  ScheduleVisitor(const Found& found, std::string path) : found_(found), path_(std::move(path)) {}

  void field(const char*, bool&, const char*) override {}
  void field(const char*, int64_t&, const char*, Range<int64_t>) override {}
  void field(const char*, double&, const char*, Range<double>) override {}
  void field(const char*, Duration&, const char*) override {}
  void field(const char*, std::string&, const char*) override {}
  void field(const char*, std::string&, const char*, std::vector<std::string>) override {}
  void field(const char*, std::vector<std::string>&, const char*) override {}
  void field(const char*, std::vector<int64_t>&, const char*) override {}
  void field(const char*, std::vector<double>&, const char*) override {}
  void group(const char* name, FieldSet& group, const char*) override { enter(path_ + name, group); }
  void choice(const char* name, ChoiceBase& choice, const char*) override { visit(path_ + name, choice); }
  void choices(const char* name, ChoiceListBase& choices, const char*) override {
    for (size_t i = 0; i < choices.size(); ++i) visit(fmt::format("{}{}.{}", path_, name, i), choices.at(i));
  }

 private:
  void enter(const std::string& key, FieldSet& fields) {
    ScheduleVisitor inner(found_, key + ".");
    fields.fields(inner);
  }
  void visit(const std::string& key, ChoiceBase& choice) {
    if (const auto* schedule = dynamic_cast<const Choice<Schedule>*>(&choice)) return found_(key, *schedule);
    enter(key, choice.options());
  }

  const Found& found_;
  std::string path_;
};

}  // namespace

PacedQuantities::PacedQuantities(TrainConfig config, const RunLength& run) {
  const ScheduleVisitor::Found found = [&](const std::string& key, const Choice<Schedule>& choice) {
    std::shared_ptr<Schedule> schedule = make_schedule(key, choice, run);
    if (key == "train.learning_rate") return;  // is told anyway
    if (choice.kind() == "constant" && schedule->warmup() == 0) return;
    quantities_.push_back({key, std::move(schedule)});
  };
  ScheduleVisitor visitor(found, "");
  config.fields(visitor);
}

std::vector<std::pair<std::string, double>> PacedQuantities::at(int64_t update) const {
  std::vector<std::pair<std::string, double>> values;
  for (const Quantity& quantity : quantities_) values.emplace_back(quantity.key, quantity.schedule->at(update));
  return values;
}

}  // namespace moe
