// Opens the next part when the open one has been learned: when its loss falls at less than a fraction of its fastest
// rate. The rate is (slow - fast) / horizon, where fast and slow are moving averages of the loss over `horizon` and 2 *
// `horizon` updates: on a straight line the slow average lags by `horizon` more updates.
#include <algorithm>
#include <cmath>

#include "core/base/json.h"
#include "data/curriculum/pacer.h"

namespace moe {
namespace {

struct Options : Fields<Options>, PaceOptions {
  int64_t parts = 4;
  double fraction = 0.3;
  Duration horizon = Duration::percent(1);
  void fields(FieldVisitor& v) override {
    common_fields(v);
    v.field("parts", parts,
            "number of equal steps in which the rest is opened; step i is made no later than at i / parts of `over`",
            {1, 1000});
    v.field("fraction", fraction,
            "fraction of the fastest rate of decrease below which the open part counts as learned", {0, 1});
    v.field("horizon", horizon, "number of updates over which the rate of the loss is averaged");
  }
};

class AutoPacer : public Pacer {
 public:
  AutoPacer(const Options& options, const Setup& setup)
      : options_(options),
        over_(to_updates(options.over, setup.run)),
        horizon_(std::max(to_updates(options.horizon, setup.run), 1.0)) {}

  double open(int64_t update) const override {
    const auto parts = static_cast<double>(options_.parts);
    const double latest = std::floor(pace_progress(update, over_) * parts);
    return options_.start + (1 - options_.start) * std::max(static_cast<double>(opened_), latest) / parts;
  }

  void observe(int64_t update, double loss) override {
    const auto parts = static_cast<double>(options_.parts);
    const auto latest = static_cast<int64_t>(std::floor(pace_progress(update + 1, over_) * parts));
    if (latest > opened_) begin_part(latest);
    if (opened_ == options_.parts) return;
    if (observed_ == 0) fast_ = slow_ = loss;
    fast_ += (loss - fast_) / horizon_;
    slow_ += (loss - slow_) / (2 * horizon_);
    ++observed_;
    const double rate = (slow_ - fast_) / horizon_;
    peak_ = std::max(peak_, rate);
    // Both averages start at the same value, so the measured rate is still rising during the first two horizons.
    if (static_cast<double>(observed_) > 2 * horizon_ && rate <= options_.fraction * peak_) begin_part(opened_ + 1);
  }

  Json state() const override {
    return {{"opened", opened_}, {"observed", observed_}, {"fast", fast_}, {"slow", slow_}, {"peak", peak_}};
  }
  void restore(const Json& state) override {
    opened_ = state.at("opened");
    observed_ = state.at("observed");
    fast_ = state.at("fast");
    slow_ = state.at("slow");
    peak_ = state.at("peak");
  }

 private:
  void begin_part(int64_t opened) {
    opened_ = opened;
    observed_ = 0;
    peak_ = 0;
  }

  Options options_;
  double over_, horizon_;
  int64_t opened_ = 0, observed_ = 0;  // open parts; updates since the last one was opened
  double fast_ = 0, slow_ = 0, peak_ = 0;
};

}  // namespace

Member auto_pacer() {
  return member<Pacer, AutoPacer, Options>("auto",
                                           "the next part opens when the loss of the open part no longer falls fast");
}

}  // namespace moe
