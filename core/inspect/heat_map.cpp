#include "core/inspect/heat_map.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "core/inspect/line_chart.h"
#include "core/inspect/markup.h"

namespace moe {
namespace {

// Colours h0 ... h8 of page_style.h, at equal distances of log2(load / fair share) from -2 to 2; h9 is dead.
constexpr int kColours = 9, kDead = 9;

int colour_of(double relative) {
  if (relative <= 0) return kDead;
  return std::clamp(static_cast<int>(std::lround(2 * std::log2(relative))) + kColours / 2, 0, kColours - 1);
}

std::string percent(double share) { return fmt::format("{:.3g}%", 100 * share); }

std::string tooltip(const LayerStats& s, size_t e) {
  return fmt::format("layer {}, expert {}: load {} ({:.2f} x fair share), gate weight {}, mean probability {}", s.layer, e,
                     percent(s.load[e]), s.relative_load(e), percent(s.importance[e]), percent(s.probability[e]));
}

std::string cross(double x, double y, double width, double height) {
  const double r = std::min({width, height, 16.0}) * 0.3, cx = x + width / 2, cy = y + height / 2;
  return fmt::format("<path class=\"cross\" d=\"M{0:.1f} {2:.1f}L{1:.1f} {3:.1f}M{0:.1f} {3:.1f}L{1:.1f} {2:.1f}\"/>", cx - r, cx + r,
                     cy - r, cy + r);
}

}  // namespace

std::string draw_load_map(const std::vector<LayerStats>& layers) {
  if (layers.empty()) return "";
  constexpr double kWidth = 1080, kLeft = 62, kTop = 20;
  int64_t experts = 1;
  for (const LayerStats& s : layers) experts = std::max(experts, s.experts());
  const double cell = std::min(64.0, (kWidth - kLeft) / static_cast<double>(experts));
  const double height = layers.size() > 24 ? 14 : 26, gap = cell > 8 ? 2 : 0;
  const bool with_numbers = cell >= 26 && height > 20;
  const double bottom = kTop + height * static_cast<double>(layers.size());

  std::string svg = fmt::format("<svg viewBox=\"0 0 {:.0f} {:.0f}\" role=\"img\"><title>Load of every expert now</title>\n", kWidth, bottom + 4);
  // Every, every second, fifth, tenth, ... expert is numbered.
  const Axis numbers = linear_axis(0, static_cast<double>(experts - 1), static_cast<int>(std::min(cell * static_cast<double>(experts) / 30, 1e3)) + 1);
  for (const double e : numbers.ticks) {
    if (e != std::floor(e) || e < 0 || e > static_cast<double>(experts - 1)) continue;
    svg += fmt::format("<text class=\"tick\" x=\"{:.1f}\" y=\"{:.0f}\" text-anchor=\"middle\">{}</text>", kLeft + (e + 0.5) * cell, kTop - 6, static_cast<int64_t>(e));
  }
  svg += fmt::format("<text class=\"tick\" x=\"0\" y=\"{:.0f}\">expert</text>\n", kTop - 6);
  for (size_t row = 0; row < layers.size(); ++row) {
    const LayerStats& s = layers[row];
    const double y = kTop + height * static_cast<double>(row);
    svg += fmt::format("<text class=\"tick\" x=\"0\" y=\"{:.1f}\">layer {}</text>\n", y + height / 2 + 4, s.layer);
    for (size_t e = 0; e < s.load.size(); ++e) {
      const double x = kLeft + cell * static_cast<double>(e);
      const int colour = colour_of(s.relative_load(e));
      svg += fmt::format("<g><title>{}</title><rect class=\"h{}\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\"/>",
                         tooltip(s, e), colour, x, y, cell - gap, height - 2);
      if (colour == kDead) svg += cross(x, y, cell - gap, height - 2);
      else if (with_numbers) {
        svg += fmt::format("<text class=\"t{}\" x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{}</text>", colour, x + (cell - gap) / 2,
                           y + height / 2 + 3, short_load(s.relative_load(e)));
      }
      svg += "</g>\n";
    }
  }
  return svg + "</svg>\n";
}

std::string draw(const LoadOverTime& map) {
  if (map.steps.empty() || map.loads.empty()) return "";
  constexpr double kWidth = 540, kLeft = 46, kRight = 528, kTop = 6;
  constexpr int64_t kMaxColumns = 96, kMaxRows = 128;
  const auto records = static_cast<int64_t>(map.steps.size()), experts = static_cast<int64_t>(map.loads[0].size());
  const int64_t columns = std::min(records, kMaxColumns), rows = std::min(experts, kMaxRows);
  const double row_height = std::clamp(200.0 / static_cast<double>(rows), 2.5, 16.0), bottom = kTop + row_height * static_cast<double>(rows);
  // A record stands for the steps since the one before it.
  const double before = records > 1 ? std::max(0.0, 2 * map.steps[0] - map.steps[1]) : 0;
  const Axis x = linear_axis(before, map.steps.back(), 6);
  const auto edge = [&](int64_t column) {
    const int64_t record = column * records / columns;
    return kLeft + x.position(record == 0 ? before : map.steps[static_cast<size_t>(record - 1)]) * (kRight - kLeft);
  };

  std::array<std::string, kColours + 1> paths;  // all cells of a colour
  std::string hovers;
  for (int64_t row = 0; row < rows; ++row) {
    const Share members = share_of(experts, rows, row);
    const double y = kTop + row_height * static_cast<double>(row);
    double total = 0;
    int64_t run_begin = 0;
    int run_colour = -1;
    const auto finish = [&](int64_t end) {
      if (run_colour < 0) return;
      paths[static_cast<size_t>(run_colour)] += fmt::format("M{:.1f} {:.2f}H{:.1f}v{:.2f}H{:.1f}z", edge(run_begin), y, edge(end), row_height - (row_height > 5 ? 0.5 : 0), edge(run_begin));
    };
    for (int64_t column = 0; column < columns; ++column) {
      const Share steps = share_of(records, columns, column);
      double sum = 0;
      for (int64_t r = steps.begin; r < steps.begin + steps.count; ++r) {
        const std::vector<double>& load = map.loads[static_cast<size_t>(r)];
        for (int64_t e = members.begin; e < members.begin + members.count; ++e) sum += e < static_cast<int64_t>(load.size()) ? load[static_cast<size_t>(e)] : 0;
      }
      const double relative = sum / static_cast<double>(steps.count * members.count) * static_cast<double>(experts);
      total += relative;
      const int colour = colour_of(relative);
      if (colour == run_colour) continue;
      finish(column);
      run_begin = column;
      run_colour = colour;
    }
    finish(columns);
    const std::string name = members.count == 1 ? fmt::format("expert {}", members.begin) : fmt::format("experts {} to {}", members.begin, members.begin + members.count - 1);
    hovers += fmt::format("<rect class=\"hover\" x=\"{:.0f}\" y=\"{:.2f}\" width=\"{:.0f}\" height=\"{:.2f}\"><title>{}: {:.2f} x fair share on average</title></rect>\n",
                          kLeft, y, kRight - kLeft, row_height, name, total / static_cast<double>(columns));
  }
  std::string svg = fmt::format("<svg viewBox=\"0 0 {:.0f} {:.0f}\" role=\"img\"><title>{}: load of every expert over the steps</title>\n", kWidth, bottom + 40, escape_markup(map.title));
  for (size_t colour = 0; colour < paths.size(); ++colour) {
    if (!paths[colour].empty()) svg += fmt::format("<path class=\"h{}\" d=\"{}\"/>\n", colour, paths[colour]);
  }
  const Axis numbers = linear_axis(0, std::max<double>(1, static_cast<double>(experts - 1)), static_cast<int>((bottom - kTop) / 24) + 1);
  for (const double e : numbers.ticks) {
    if (e != std::floor(e) || e > static_cast<double>(experts - 1)) continue;
    svg += fmt::format("<text class=\"tick\" x=\"{:.0f}\" y=\"{:.1f}\" text-anchor=\"end\">{}</text>", kLeft - 6,
                       kTop + (e + 0.5) * (bottom - kTop) / static_cast<double>(experts) + 4, static_cast<int64_t>(e));
  }
  return figure(map.title, "expert over step", svg + draw_x_axis(x, kLeft, kRight, bottom, "step") + hovers + "</svg>\n");
}

static std::string legend(const std::string& dead) {
  static constexpr std::array<const char*, kColours> kLabels = {"1/4", "", "1/2", "", "1", "", "2", "", "4"};
  std::string html = "<p class=\"legend ramp\"><span>load over fair share</span>";
  for (int c = 0; c < kColours; ++c) html += fmt::format("<i class=\"b{}\">{}</i>", c, kLabels[static_cast<size_t>(c)]);
  return html + dead + "</p>\n";
}

std::string load_map_legend() { return legend("<i class=\"b9\">&#215;</i><span>dead: no token</span>"); }
std::string load_over_time_legend() { return legend("<i class=\"b10\"></i><span>no token</span>"); }

}  // namespace moe
