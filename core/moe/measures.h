// What routers and strategies have to tell beyond the load: figures that are only reported, and auxiliary losses of
// their own. Each is a mean, kept as a sum and a count so that ranks and micro-batches add up.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "core/moe/layer_sums.h"
#include "core/schedule/scheduled.h"
#include "core/tensor/context.h"

namespace moe {

class MeasureSet {
 public:
  explicit MeasureSet(LayerSums& sums) : sums_(sums) {}

  // Declares one and returns its index. A loss enters the training objective with its coefficient; its owner adds the
  // gradient of coefficient() * value itself, with the whole step's count as the divisor.
  size_t add_figure(const std::string& name) { return declare(name, {}); }
  size_t add_loss(const std::string& name, const Scheduled& coefficient) { return declare(name, coefficient); }
  // Takes up the coefficients of the step that ctx is in. Before anything else of the step.
  void begin(const Context& ctx);
  double coefficient(size_t i) const { return measures_[i].coefficient; }  // of this step

  // Adds to a measure, unless this pass is not observed.
  void observe(const Context& ctx, size_t measure, double sum, double count) const;
  // Likewise what add_to(sum) adds to sum (1) f64, for which nobody waits.
  template <class AddTo>
  void observe_sum(const Context& ctx, size_t measure, AddTo add_to, double count) const {
    if (!ctx.observe) return;
    add_to(sum_of(measure));
    observe(ctx, measure, 0, count);
  }
  // The same in any pass.
  void add(size_t measure, double sum, double count) const;

  size_t size() const { return measures_.size(); }
  const std::string& name(size_t i) const { return measures_[i].name; }
  // The mean of complete sums; nothing when nothing was counted.
  std::optional<double> value(size_t i) const;
  // Of complete sums: coefficient * value, summed.
  double weighted_value() const;

 private:
  struct Measure {
    std::string name;
    std::optional<Scheduled> paced;  // a loss's
    double coefficient;
    LayerSums::Range range;  // sum, count
  };
  size_t declare(const std::string& name, std::optional<Scheduled> coefficient);
  Tensor sum_of(size_t measure) const;

  LayerSums& sums_;
  std::vector<Measure> measures_;
};

}  // namespace moe
