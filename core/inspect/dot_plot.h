// Values with their intervals, one row per name, drawn as inline SVG.
#pragma once
#include <string>
#include <vector>

namespace moe {

struct DotRow {
  std::string name;
  size_t colour = 0;           // index in the palette
  std::vector<double> points;  // small rings
  double mean = 0;             // a dot
  double half_width = 0;       // half the width of the interval; NaN for none
  std::string text;            // printed to the right
};

struct DotPlot {
  std::string title, note, x_label;
  std::vector<DotRow> rows;
};

// A <figure> across the page. Its axis always includes 0 and all points. An interval that is much wider than these ends
// in an arrow at the edge.
std::string draw(const DotPlot& plot);

}  // namespace moe
