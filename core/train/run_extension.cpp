#include "core/train/run_extension.h"

#include <algorithm>

#include "core/config/field_walker.h"
#include "core/config/text_visitor.h"
#include "core/record/run_folder.h"
#include "core/schedule/scheduled.h"

namespace moe {
namespace {

constexpr int64_t kProbes = 256;  // updates at which two schedules are compared

// Collects the keys that depend on the length of the run.
class Dependence : public FieldWalker {
 public:
  Dependence(const RunLength& before, const RunLength& after, int64_t step)
      : before_(before), after_(after), step_(step) {}

  std::vector<std::string> lines;

 private:
  void schedule(const char* name, ScheduleField& value, const char*) override {
    const Scheduled one = value.make(before_), two = value.make(after_);
    const int64_t last = std::max(after_.total_updates - 1, step_);
    for (int64_t i = 0; i <= kProbes; ++i) {
      const auto update = static_cast<uint64_t>(step_ + (last - step_) * i / kProbes);
      if (one.at(update) == two.at(update)) continue;
      lines.push_back(fmt::format("{}: at update {} it is {:.4g} by the plan for {} updates, and {:.4g} by one for {}",
                                  key(name), update, one.at(update), before_.total_updates, two.at(update),
                                  after_.total_updates));
      return;
    }
  }
  void field(const char* name, Duration& value, const char*, Lengths) override {
    if (value.unit == Duration::Unit::percent && value.amount > 0) share(name, value.to_string());
  }
  void field(const char* name, std::vector<std::string>& value, const char*) override {
    for (const std::string& text : value) {
      // The shares in `opened` are of the samples.
      if (std::string_view(name) != "opened" && text.find('%') != std::string::npos) share(name, text);
    }
  }
  void overrides(const char* name, LayerOverrides& value, const char*) override {
    for (const LayerOverride& entry : value.entries) {
      if (const std::string text = flow_yaml(entry.settings); text.find('%') != std::string::npos) share(name, text);
    }
  }
  void share(const char* name, const std::string& value) {
    if (!may_differ(key(name))) lines.push_back(fmt::format("{}: {} is a share of the run", key(name), value));
  }

  const RunLength before_, after_;
  const int64_t step_;
};

}  // namespace

std::vector<std::string> length_dependence(const TrainConfig& config, const RunLength& before, const RunLength& after,
                                           int64_t step) {
  Dependence dependence(before, after, step);
  TrainConfig copy = config;
  dependence.enter("", copy);
  return dependence.lines;
}

RunEnd extend_run(const TrainConfig& config, const RunLength& wanted, const RunState& state, const std::string& path) {
  // The earliest checkpoints do not say for how long their run was planned.
  const bool is_known = state.length.tokens_per_update > 0;
  const int64_t planned = is_known ? state.length.total_updates : wanted.total_updates;
  RunLength as_planned = wanted;
  as_planned.total_updates = planned;
  // A run that has made enough updates computes nothing, and its plan stays.
  const bool keeps = config.train.extend == "keep_schedule" || wanted.total_updates <= state.step;
  if (planned == wanted.total_updates || keeps) return {as_planned, wanted.total_updates};
  if (config.train.extend == "stretch") return {wanted, wanted.total_updates};
  const std::vector<std::string> lines = length_dependence(config, as_planned, wanted, state.step);
  if (lines.empty()) return {wanted, wanted.total_updates};
  raise<CheckpointError>(
      "{} is of a run that was planned for {} updates; {} asks for {}, which changes:\n  {}\nSet train.extend to "
      "keep_schedule (values follow the plan for {} updates, and keep their last ones afterwards) or stretch (values "
      "follow a plan for {} updates from now on, which may make them jump)",
      path, planned, config.train.where("steps"), wanted.total_updates, join(lines, "\n  "), planned,
      wanted.total_updates);
}

}  // namespace moe
