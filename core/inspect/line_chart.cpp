#include "core/inspect/line_chart.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/inspect/markup.h"
#include "core/inspect/report_table.h"

namespace moe {
namespace {

constexpr double kWidth = 540, kWideWidth = 1108, kHeight = 250, kLeft = 46, kRightMargin = 12, kTop = 10,
                 kBottom = 210;
constexpr size_t kMaxPoints = 600;  // of a drawn curve
constexpr size_t kMaxHovers = 120;  // points with a tooltip

using Point = std::pair<double, double>;

std::vector<Point> points_of(const Curve& curve) {
  std::vector<Point> points;
  for (size_t i = 0; i < std::min(curve.x.size(), curve.y.size()); ++i) {
    if (std::isfinite(curve.x[i]) && std::isfinite(curve.y[i])) points.emplace_back(curve.x[i], curve.y[i]);
  }
  return points;
}

bool has_band(const Curve& curve) {
  return curve.low.size() == curve.x.size() && curve.high.size() == curve.x.size() && !curve.x.empty();
}

// Both edges of the band, which the axis has to include besides the curve.
std::vector<Point> band_of(const Curve& curve) {
  std::vector<Point> points;
  if (!has_band(curve)) return points;
  for (size_t i = 0; i < curve.x.size(); ++i) {
    if (!std::isfinite(curve.x[i]) || !std::isfinite(curve.low[i]) || !std::isfinite(curve.high[i])) continue;
    points.emplace_back(curve.x[i], curve.low[i]);
    points.emplace_back(curve.x[i], curve.high[i]);
  }
  return points;
}

// Keeps the smallest and the largest point of each interval, so that spikes stay visible.
std::vector<Point> thin_out(const std::vector<Point>& points) {
  if (points.size() <= kMaxPoints) return points;
  std::vector<Point> kept;
  const size_t stretches = kMaxPoints / 2;
  const auto by_y = [](const Point& a, const Point& b) { return a.second < b.second; };
  for (size_t i = 0; i < stretches; ++i) {
    const auto begin = points.begin() + static_cast<ptrdiff_t>(points.size() * i / stretches);
    const auto end = points.begin() + static_cast<ptrdiff_t>(points.size() * (i + 1) / stretches);
    const auto [low, high] = std::minmax_element(begin, end, by_y);
    kept.push_back(std::min(*low, *high));
    if (low != high) kept.push_back(std::max(*low, *high));
  }
  return kept;
}

struct Range {
  double low = INFINITY, high = -INFINITY;
  void add(double value) {
    low = std::min(low, value);
    high = std::max(high, value);
  }
};

Axis y_axis(const LineChart& chart, const std::vector<std::vector<Point>>& curves, const Range& x) {
  Range all, later;
  const auto add = [&](const std::vector<Point>& points) {
    for (const auto& [px, py] : points) {
      all.add(py);
      if (px >= x.low + 0.1 * (x.high - x.low)) later.add(py);
    }
  };
  for (const auto& points : curves) add(points);
  for (const Curve& curve : chart.curves) add(band_of(curve));
  double low = chart.from_zero ? std::min(0.0, all.low) : all.low, high = all.high;
  if (chart.cut_beginning && high - low > 2.5 * (later.high - low) && later.high > low) high = later.high;
  if (chart.log_y && low > 0 && high / low > 20) return log_axis(low / 1.15, high * 1.15);
  const double margin = 0.07 * (high - low);
  return linear_axis(chart.from_zero && low == 0 ? 0 : low - margin,
                     std::max(high + margin, chart.from_zero ? 1e-9 : high), 5);
}

Axis x_axis(const LineChart& chart, const Range& x, bool wide) {
  if (chart.log_x && x.low > 0) return log_axis(x.low / 1.1, x.high * 1.1);
  return linear_axis(x.low < 0.2 * x.high ? 0 : x.low, x.high, wide ? 12 : 6);
}

// The x axis and its position.
struct Horizontal {
  Axis axis;
  double right;
  double operator()(double value) const { return kLeft + axis.position(value) * (right - kLeft); }
};

double y_of(const Axis& axis, double value) {
  // Values far outside are drawn slightly outside: the clip path hides them, and coordinates stay small.
  return std::clamp(kBottom - axis.position(value) * (kBottom - kTop), kTop - 400, kBottom + 400);
}

std::string draw_y_axis(const Axis& axis, double right) {
  std::string svg;
  for (const double tick : axis.ticks) {
    const double y = y_of(axis, tick);
    svg += fmt::format(
        "<line class=\"grid\" x1=\"{:.0f}\" x2=\"{:.0f}\" y1=\"{:.1f}\" y2=\"{:.1f}\"/>"
        "<text class=\"tick\" x=\"{:.0f}\" y=\"{:.1f}\" text-anchor=\"end\">{}</text>\n",
        kLeft, right, y, y, kLeft - 6, y + 4, tick_label(tick));
  }
  return svg;
}

std::string draw_curve(const Curve& curve, const std::vector<Point>& points, size_t colour, const Horizontal& x,
                       const Axis& y) {
  std::string path, dots;
  for (const auto& [px, py] : thin_out(points)) {
    path += fmt::format("{}{:.1f} {:.1f}", path.empty() ? "M" : "L", x(px), y_of(y, py));
  }
  const size_t every = (points.size() + kMaxHovers - 1) / kMaxHovers;
  for (size_t i = 0; i < points.size(); i += every) {
    const auto& [px, py] = points[i];
    if (y_of(y, py) < kTop) continue;
    const std::string at = fmt::format("cx=\"{:.1f}\" cy=\"{:.1f}\"", x(px), y_of(y, py));
    if (curve.markers || points.size() == 1)
      dots += fmt::format("<circle class=\"dot c{}\" {} r=\"2.6\"/>", colour, at);
    dots += fmt::format("<circle class=\"hover\" {} r=\"6\"><title>{}: {:.5g} at {}</title></circle>\n", at,
                        escape_markup(curve.name), py, tick_label(px));
  }
  return fmt::format("<path class=\"curve c{}\" d=\"{}\"/>\n{}", colour, path, dots);
}

std::string draw_band(const Curve& curve, size_t colour, const Horizontal& x, const Axis& y) {
  const std::vector<Point> edges = band_of(curve);
  if (edges.size() < 4) return "";
  std::string there, back;
  for (size_t i = 0; i < edges.size(); i += 2) {
    there += fmt::format("{}{:.1f} {:.1f}", i == 0 ? "M" : "L", x(edges[i].first), y_of(y, edges[i].second));
    back = fmt::format("L{:.1f} {:.1f}", x(edges[i + 1].first), y_of(y, edges[i + 1].second)) + back;
  }
  return fmt::format("<path class=\"band c{}\" d=\"{}{}Z\"/>\n", colour, there, back);
}

std::string draw_mark(const LineChart::Mark& mark, const Horizontal& x_of, const Axis& y_axis) {
  const double x = x_of(mark.x), y = y_of(y_axis, mark.y);
  if (y < kTop) return "";
  // The label is at the top, where a loss curve is only at its very start.
  const bool right_half = x > (kLeft + x_of.right) / 2;
  return fmt::format(
      "<circle class=\"mark\" cx=\"{0:.1f}\" cy=\"{1:.1f}\" r=\"5\"/>"
      "<path class=\"guide\" d=\"M{0:.1f} {2:.1f}V{3:.1f}\"/>"
      "<text class=\"label\" x=\"{4:.1f}\" y=\"{5:.1f}\" text-anchor=\"{6}\">{7}</text>\n",
      x, y, kTop, std::max(y - 5, kTop), right_half ? x - 6 : x + 6, kTop + 10, right_half ? "end" : "start",
      escape_markup(mark.label));
}

std::string draw_moments(const LineChart& chart, const Horizontal& x_of, const Range& shown) {
  std::string svg;
  for (const LineChart::Moment& moment : chart.moments) {
    if (moment.x < shown.low || moment.x > shown.high) continue;
    svg += fmt::format("<path class=\"guide\" d=\"M{0:.1f} {1:.1f}V{2:.1f}\"><title>{3}</title></path>\n",
                       x_of(moment.x), kTop, kBottom, escape_markup(moment.label));
  }
  return svg;
}

std::string legend(const LineChart& chart) {
  if (chart.curves.size() < 2) return "";
  std::string html = "<p class=\"legend\">";
  for (size_t i = 0; i < chart.curves.size(); ++i) {
    html += fmt::format("<span><i class=\"c{}\"></i>{}</span> ", i % kPaletteSize, escape_markup(chart.curves[i].name));
  }
  return html + "</p>\n";
}

bool has_points(const LineChart& chart) {
  return std::any_of(chart.curves.begin(), chart.curves.end(),
                     [](const Curve& curve) { return !points_of(curve).empty(); });
}

std::string draw_chart(const LineChart& chart, bool wide) {
  std::vector<std::vector<Point>> curves;
  Range x_range;
  for (const Curve& curve : chart.curves) {
    curves.push_back(points_of(curve));
    for (const auto& [x, y] : curves.back()) x_range.add(x);
  }
  const double width = wide ? kWideWidth : kWidth;
  const Horizontal x{x_axis(chart, x_range, wide), width - kRightMargin};
  const Axis y = y_axis(chart, curves, x_range);

  std::string svg = fmt::format("<svg viewBox=\"0 0 {:.0f} {:.0f}\" role=\"img\"><title>{}: {}</title>\n", width,
                                kHeight, escape_markup(chart.title), escape_markup(chart.note));
  svg += draw_y_axis(y, x.right) + draw_x_axis(x.axis, kLeft, x.right, kBottom, chart.x_label);
  // A nested viewport clips points outside the plot.
  svg += fmt::format(
      "<svg x=\"0\" y=\"{0:.0f}\" width=\"{1:.0f}\" height=\"{2:.0f}\" viewBox=\"0 {0:.0f} {1:.0f} "
      "{2:.0f}\">\n",
      kTop - 4, width, kBottom - kTop + 8);
  bool cut = false;
  for (size_t i = 0; i < curves.size(); ++i) svg += draw_band(chart.curves[i], i % kPaletteSize, x, y);
  for (size_t i = 0; i < curves.size(); ++i) {
    if (!curves[i].empty()) svg += draw_curve(chart.curves[i], curves[i], i % kPaletteSize, x, y);
    cut |= std::any_of(curves[i].begin(), curves[i].end(), [&](const Point& p) { return p.second > y.high; });
  }
  svg += draw_moments(chart, x, x_range);
  if (chart.mark) svg += draw_mark(*chart.mark, x, y);
  svg += "</svg>\n</svg>\n";
  return figure(chart.title, chart.note + (cut ? "; the axis does not cover the start" : ""), legend(chart) + svg,
                wide ? "wide" : "");
}

}  // namespace

std::string draw_x_axis(const Axis& axis, double left, double right, double bottom, const std::string& label) {
  std::string svg = fmt::format("<line class=\"axis\" x1=\"{:.0f}\" x2=\"{:.0f}\" y1=\"{:.1f}\" y2=\"{:.1f}\"/>\n",
                                left, right, bottom, bottom);
  for (const double tick : axis.ticks) {
    const double x = left + axis.position(tick) * (right - left);
    svg += fmt::format(
        "<line class=\"axis\" x1=\"{:.1f}\" x2=\"{:.1f}\" y1=\"{:.1f}\" y2=\"{:.1f}\"/>"
        "<text class=\"tick\" x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{}</text>\n",
        x, x, bottom, bottom + 4, x, bottom + 17, tick_label(tick));
  }
  return svg + fmt::format("<text class=\"tick\" x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{}</text>\n",
                           (left + right) / 2, bottom + 33, escape_markup(label));
}

std::string draw(const std::vector<LineChart>& charts) {
  const auto drawn = std::count_if(charts.begin(), charts.end(), has_points);
  std::string figures;
  for (const LineChart& chart : charts) {
    if (has_points(chart)) figures += draw_chart(chart, drawn % 2 == 1 && figures.empty());
  }
  return figures;
}

}  // namespace moe
