// Curves over steps or tokens, drawn as inline SVG.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "core/inspect/axis.h"

namespace moe {

struct Curve {
  std::string name;
  std::vector<double> x, y;  // points with a NaN are left out
  bool markers = false;      // a dot at every point
  // If set, one value per point: a band from `low` to `high` drawn under the curve.
  std::vector<double> low{}, high{};
};

struct LineChart {
  std::string title;
  std::string note;  // quantity and unit of the y axis
  std::string x_label;
  std::vector<Curve> curves{};
  bool from_zero = false;
  bool log_x = false, log_y = false;  // where the values allow it
  // The y axis need not include the values of the first tenth of the run, which would flatten all others.
  bool cut_beginning = false;
  struct Mark {
    double x = 0, y = 0;
    std::string label;
  };
  std::optional<Mark> mark{};
  // Vertical lines.
  struct Moment {
    double x = 0;
    std::string label;  // shown on hover
  };
  std::vector<Moment> moments{};
};

// A <figure> for each chart that has a point to draw; if their number is odd, the first is twice as wide.
std::string draw(const std::vector<LineChart>& charts);

// The ticks and label of a horizontal axis below a plot that spans [left, right] and ends at `bottom`.
std::string draw_x_axis(const Axis& axis, double left, double right, double bottom, const std::string& label);

}  // namespace moe
