// A table of values: `values[i]` at the time `at[i]`, and between two times a straight line or the earlier value.
#include <algorithm>

#include "core/schedule/schedule.h"

namespace moe {
namespace {

struct Options : Fields<Options>, ScheduleOptions {
  std::vector<std::string> at = {"0", "100%"};
  std::vector<double> values = {1e-3, 0};
  std::string between = "line";
  void fields(FieldVisitor& v) override {
    v.field("at", at, "times in increasing order, counted from the start of the run, e.g. [0, 10%, 5Mt]");
    v.field(
        "values", values,
        "the value at each time; the first value also holds before the first time, the last one after the last time");
    v.field("between", between, "value between two times: line = a straight line; step = the earlier value",
            {"line", "step"});
    common_fields(v);
  }
};

class TableSchedule : public Schedule {
 public:
  TableSchedule(const Options& options, const Setup& setup)
      : Schedule(options, setup), values_(options.values), is_line_(options.between == "line") {
    if (options.at.size() != values_.size() || values_.empty()) {
      raise<UsageError>("a schedule by table needs as many values as times: found {} values for {} times",
                        values_.size(), options.at.size());
    }
    for (const std::string& text : options.at) {
      const double update = to_updates(Duration::parse(text), setup.run);
      // In a run without a length, as in tests of single parts, percentages have no meaning.
      if (setup.run.total_updates > 0 && !at_.empty() && update <= at_.back()) {
        raise<UsageError>(
            "a schedule by table needs increasing times: '{}' (update {:g}) is not after '{}' (update {:g})", text,
            update, options.at[at_.size() - 1], at_.back());
      }
      at_.push_back(at_.empty() ? update : std::max(update, at_.back()));
    }
  }

  std::vector<double> corners() const override {
    std::vector<double> corners = at_;
    corners.push_back(warmup());
    return corners;
  }

 private:
  double shape(double update) const override {
    const auto next = static_cast<size_t>(std::upper_bound(at_.begin(), at_.end(), update) - at_.begin());
    if (next == 0) return values_.front();
    const size_t i = next - 1;
    if (next == at_.size() || !is_line_) return values_[i];
    return values_[i] + (values_[next] - values_[i]) * (update - at_[i]) / (at_[next] - at_[i]);
  }
  std::vector<double> at_, values_;
  bool is_line_;
};

}  // namespace

Member table_schedule() {
  return member<Schedule, TableSchedule, Options>("table", "values at given times");
}

}  // namespace moe
