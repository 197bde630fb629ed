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
  // Where given, one for each point: a band from `low` to `high` behind the curve.
  std::vector<double> low{}, high{};
};

struct LineChart {
  std::string title;
  std::string note;  // what the y axis shows, with its unit
  std::string x_label;
  std::vector<Curve> curves{};
  bool from_zero = false;
  bool log_y = false;  // where the values allow it
  // The y axis need not reach up to the values of the first tenth of the run, which would flatten all others.
  bool cut_beginning = false;
  struct Mark {
    double x = 0, y = 0;
    std::string label;
  };
  std::optional<Mark> mark{};
  // Upright lines.
  struct Moment {
    double x = 0;
    std::string label;  // shown where the pointer is
  };
  std::vector<Moment> moments{};
};

// A <figure> for each chart that has a point to draw; of an odd number the first is as wide as two.
std::string draw(const std::vector<LineChart>& charts);

// The ticks and label of a horizontal axis below a plot that spans [left, right] and ends at `bottom`.
std::string draw_x_axis(const Axis& axis, double left, double right, double bottom, const std::string& label);

}  // namespace moe
