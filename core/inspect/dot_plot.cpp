#include "core/inspect/dot_plot.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "core/inspect/line_chart.h"
#include "core/inspect/markup.h"

namespace moe {
namespace {

constexpr double kWidth = 1108, kNames = 210, kFigures = 250, kTop = 8, kRow = 30, kBottom = 42;
constexpr double kLeft = kNames, kRight = kWidth - kFigures;
constexpr size_t kPalette = 8, kMaxName = 28;  // kMaxName: maximum length of a name in characters
// With two seeds intervals are more than six times the distance of the seeds, which would flatten all others.
constexpr double kWidest = 2.5;

Axis value_axis(const DotPlot& plot) {
  double low = 0, high = 0;
  for (const DotRow& row : plot.rows) {
    for (const double x : row.points) {
      low = std::min(low, x);
      high = std::max(high, x);
    }
  }
  const double spread = high - low, least = low - (kWidest - 1) / 2 * spread, most = high + (kWidest - 1) / 2 * spread;
  for (const DotRow& row : plot.rows) {
    if (std::isnan(row.half_width)) continue;
    low = std::min(low, std::max(row.mean - row.half_width, least));
    high = std::max(high, std::min(row.mean + row.half_width, most));
  }
  const double margin = 0.04 * (high - low);
  return linear_axis(low - margin, high + margin, 8);
}

double x_of(const Axis& axis, double value) {
  return kLeft + std::clamp(axis.position(value), 0.0, 1.0) * (kRight - kLeft);
}

// An end of an interval: a cap, or an arrow where the interval extends beyond the axis.
std::string draw_end(const Axis& axis, double value, double y) {
  const double x = x_of(axis, value);
  if (value >= axis.low && value <= axis.high) return fmt::format("M{0:.1f} {1:.1f}V{2:.1f}", x, y - 5, y + 5);
  const double tail = value < axis.low ? x + 7 : x - 7;
  return fmt::format("M{0:.1f} {1:.1f}L{2:.1f} {3:.1f}L{0:.1f} {4:.1f}", tail, y - 5, x, y, y + 5);
}

std::string shortened(const std::string& name) {
  return name.size() <= kMaxName ? name : name.substr(0, kMaxName - 3) + "...";
}

std::string draw_row(const DotRow& row, const Axis& axis, double y) {
  const size_t colour = row.colour % kPalette;
  std::string svg = fmt::format(
      "<text x=\"{:.0f}\" y=\"{:.1f}\" text-anchor=\"end\">{}<title>{}</title></text>\n"
      "<line class=\"grid\" x1=\"{:.0f}\" x2=\"{:.0f}\" y1=\"{:.1f}\" y2=\"{:.1f}\"/>\n",
      kLeft - 12, y + 4, escape_markup(shortened(row.name)), escape_markup(row.name), kLeft, kRight, y, y);
  if (!std::isnan(row.half_width)) {
    const double low = row.mean - row.half_width, high = row.mean + row.half_width;
    svg += fmt::format("<path class=\"whisker c{}\" d=\"M{:.1f} {:.1f}H{:.1f}{}{}\"/>\n", colour, x_of(axis, low), y,
                       x_of(axis, high), draw_end(axis, low, y), draw_end(axis, high, y));
  }
  for (const double value : row.points) {
    svg += fmt::format("<circle class=\"pair c{}\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3.2\"/>", colour, x_of(axis, value),
                       y + 8);
  }
  if (!row.points.empty()) {
    svg += fmt::format("<circle class=\"dot c{}\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"5\"><title>{}: {}</title></circle>\n",
                       colour, x_of(axis, row.mean), y, escape_markup(row.name), escape_markup(row.text));
  }
  return svg + fmt::format("<text x=\"{:.0f}\" y=\"{:.1f}\">{}</text>\n", kRight + 14, y + 4, escape_markup(row.text));
}

}  // namespace

std::string draw(const DotPlot& plot) {
  if (plot.rows.empty()) return "";
  const Axis axis = value_axis(plot);
  const double bottom = kTop + kRow * static_cast<double>(plot.rows.size());
  std::string svg = fmt::format("<svg viewBox=\"0 0 {:.0f} {:.0f}\" role=\"img\"><title>{}: {}</title>\n", kWidth,
                                bottom + kBottom, escape_markup(plot.title), escape_markup(plot.note));
  for (const double tick : axis.ticks) {
    svg += fmt::format("<line class=\"grid\" x1=\"{0:.1f}\" x2=\"{0:.1f}\" y1=\"{1:.0f}\" y2=\"{2:.1f}\"/>",
                       x_of(axis, tick), kTop, bottom);
  }
  svg += fmt::format("<line class=\"zero\" x1=\"{0:.1f}\" x2=\"{0:.1f}\" y1=\"{1:.0f}\" y2=\"{2:.1f}\"/>\n",
                     x_of(axis, 0), kTop, bottom);
  svg += draw_x_axis(axis, kLeft, kRight, bottom, plot.x_label);
  for (size_t i = 0; i < plot.rows.size(); ++i)
    svg += draw_row(plot.rows[i], axis, kTop + kRow * (static_cast<double>(i) + 0.42));
  return figure(plot.title, plot.note, svg + "</svg>\n", "wide");
}

}  // namespace moe
