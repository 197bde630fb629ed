// A curve of loss over cost through few points: loss = level + slope * (r^bend - 1) / bend, with r the cost over a
// reference (Box and Cox, 1964). With a negative bend it is a power law with a floor, as in scaling_fit.h; with 0 a
// straight line over the logarithm of the cost; with a positive bend the loss falls faster and faster, as it does early
// in training, where a power law with a floor does not fit.
#pragma once
#include <vector>

#include "core/inspect/scaling_fit.h"

namespace moe {

struct CostCurve {
  double level = 0, slope = 0, bend = 0;
  double reference = 1;  // the cost at which the loss is `level`

  // Whether more cost gives a lower loss.
  bool falls() const { return slope < 0; }
  double loss(double cost) const;
  // The cost at which a falling curve reaches a loss: infinity where it never does, 0 where it is always lower.
  double cost(double loss) const;
};

// By least squares. Needs two different costs, with which the bend is 0; with three it goes through the points.
CostCurve fit_cost_curve(const std::vector<ScalingPoint>& points);

}  // namespace moe
