// Measures that routers and strategies report beyond the load: figures for the log only, and auxiliary losses of their
// own. Each is computed from sums that are added over ranks and micro-batches: a mean from a sum and a count, or
// another function of sums of its own.
#pragma once
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/moe/layer_sums.h"
#include "core/schedule/scheduled.h"
#include "core/tensor/context.h"

namespace moe {

// The figure of a router that measures its uncertainty: the mean over tokens.
inline constexpr const char* kRouterUncertainty = "router_uncertainty";

class MeasureSet {
 public:
  explicit MeasureSet(LayerSums& sums) : sums_(sums) {}

  // Declares a measure and returns its index. A loss enters the training objective with its coefficient. The component
  // that declares it also adds the gradient of coefficient() * value, with the whole step's count as the divisor.
  size_t add_figure(const std::string& name) { return declare(name, {}, sums_.reserve(2), mean); }
  size_t add_loss(const std::string& name, const Scheduled& coefficient) {
    return declare(name, coefficient, sums_.reserve(2), mean);
  }
  // A loss that is a function of complete sums, to which the component adds itself; nullopt without tokens.
  using Value = std::function<std::optional<double>(std::span<const double> sums)>;
  size_t add_loss(const std::string& name, const Scheduled& coefficient, LayerSums::Range range, Value value) {
    return declare(name, coefficient, range, std::move(value));
  }
  // Looks up the coefficients for the step of ctx. Must be the first call in a step.
  void begin(const Context& ctx);
  double coefficient(size_t i) const { return measures_[i].coefficient; }  // in this step

  // Adds to a measure if this pass is observed.
  void observe(const Context& ctx, size_t measure, double sum, double count) const;
  // The same with a sum that add_to(sum) adds to sum (1) f64, without synchronising with the device.
  template <class AddTo>
  void observe_sum(const Context& ctx, size_t measure, AddTo add_to, double count) const {
    if (!ctx.observe) return;
    add_to(sum_of(measure));
    observe(ctx, measure, 0, count);
  }
  // Adds to a measure in any pass.
  void add(size_t measure, double sum, double count) const;

  size_t size() const { return measures_.size(); }
  // The first measure with this name; nullopt if there is none.
  std::optional<size_t> find(const std::string& name) const;
  const std::string& name(size_t i) const { return measures_[i].name; }
  // The value from complete sums; nullopt without tokens.
  std::optional<double> value(size_t i) const;
  // The sum of coefficient * value over all losses, from complete sums.
  double weighted_value() const;

 private:
  struct Measure {
    std::string name;
    std::optional<Scheduled> scheduled;  // coefficient of a loss
    double coefficient;
    LayerSums::Range range;  // of a mean: sum, count
    Value value;
  };
  static std::optional<double> mean(std::span<const double> sums);
  size_t declare(const std::string& name, std::optional<Scheduled> coefficient, LayerSums::Range range, Value value);
  Tensor sum_of(size_t measure) const;

  LayerSums& sums_;
  std::vector<Measure> measures_;
};

}  // namespace moe
