// Curves of loss over cost: loss = floor + scale * (cost / reference)^-exponent (Hestness et al., 2017; Hoffmann et
// al., 2022).
#pragma once
#include <span>
#include <vector>

namespace moe {

struct ScalingPoint {
  double cost = 0;    // above 0, in any unit
  double loss = 0;    // above 0
  double weight = 1;  // how many runs it is the mean of
};

struct ScalingCurve {
  double floor = 0;  // the loss that no cost goes below
  double scale = 0, exponent = 0;
  double reference = 1;  // the cost at which the loss is floor + scale

  double loss(double cost) const;
  // The cost at which the curve reaches a loss; infinity at the floor and below it.
  double cost(double loss) const;
};

// The curve of least squares of the losses, with a floor in [0, the lowest loss). With two different costs the floor is
// not determined and 0. The exponent is in [1e-4, 4]: where the loss does not fall, the curve is almost flat. Needs two
// different costs.
ScalingCurve fit_scaling(const std::vector<ScalingPoint>& points);
// A curve for each method, with one floor for all of them: the floor is a property of the data. One method with three
// costs determines it.
std::vector<ScalingCurve> fit_scaling_together(std::span<const std::vector<ScalingPoint>> methods);

}  // namespace moe
