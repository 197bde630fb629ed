// Values with their intervals, one row for each name, drawn as inline SVG.
#pragma once
#include <string>
#include <vector>

namespace moe {

struct DotRow {
  std::string name;
  size_t colour = 0;           // of the palette
  std::vector<double> points;  // small rings
  double mean = 0;             // a dot
  double half_width = 0;       // of the interval; NaN for none
  std::string text;            // to the right
};

struct DotPlot {
  std::string title, note, x_label;
  std::vector<DotRow> rows;
};

// A <figure> across the page. Its axis always shows 0 and all points; an interval that is much wider than they are ends
// in an arrow at the edge.
std::string draw(const DotPlot& plot);

}  // namespace moe
