#include "core/inspect/heat_map.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "core/base/integer.h"
#include "core/inspect/line_chart.h"
#include "core/inspect/markup.h"

namespace moe {
namespace {

// Colours h0 ... h8 of page_style.h, at equal distances of log2(load / fair share) from -2 to 2; h9 marks dead experts.
constexpr int kColours = 9, kDead = 9;

int colour_of(double relative) {
  if (relative <= 0) return kDead;
  return std::clamp(static_cast<int>(std::lround(2 * std::log2(relative))) + kColours / 2, 0, kColours - 1);
}

std::string percent(double share) {
  return fmt::format("{:.3g}%", 100 * share);
}

std::string tooltip(const LayerStats& s, size_t e) {
  return fmt::format("layer {}, expert {}: load {} ({:.2f} x fair share), gate weight {}, mean probability {}", s.layer,
                     e, percent(s.load[e]), s.relative_load(e), percent(s.importance[e]), percent(s.probability[e]));
}

std::string cross(double x, double y, double width, double height) {
  const double r = std::min({width, height, 16.0}) * 0.3, cx = x + width / 2, cy = y + height / 2;
  return fmt::format("<path class=\"cross\" d=\"M{0:.1f} {2:.1f}L{1:.1f} {3:.1f}M{0:.1f} {3:.1f}L{1:.1f} {2:.1f}\"/>",
                     cx - r, cx + r, cy - r, cy + r);
}

// Every, every second, fifth, tenth, ... expert, so that about `wanted` are numbered.
std::vector<int64_t> numbered_experts(int64_t experts, int wanted) {
  std::vector<int64_t> numbered;
  for (const double e : linear_axis(0, static_cast<double>(std::max<int64_t>(experts - 1, 1)), wanted).ticks) {
    if (e == std::floor(e) && e < static_cast<double>(experts)) numbered.push_back(static_cast<int64_t>(e));
  }
  return numbered;
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

  std::string svg =
      fmt::format("<svg viewBox=\"0 0 {:.0f} {:.0f}\" role=\"img\"><title>Current load of every expert</title>\n",
                  kWidth, bottom + 4);
  for (const int64_t e : numbered_experts(experts, static_cast<int>(cell * static_cast<double>(experts) / 30) + 1)) {
    svg += fmt::format("<text class=\"tick\" x=\"{:.1f}\" y=\"{:.0f}\" text-anchor=\"middle\">{}</text>",
                       kLeft + (static_cast<double>(e) + 0.5) * cell, kTop - 6, e);
  }
  svg += fmt::format("<text class=\"tick\" x=\"0\" y=\"{:.0f}\">expert</text>\n", kTop - 6);
  for (size_t row = 0; row < layers.size(); ++row) {
    const LayerStats& s = layers[row];
    const double y = kTop + height * static_cast<double>(row);
    svg += fmt::format("<text class=\"tick\" x=\"0\" y=\"{:.1f}\">layer {}</text>\n", y + height / 2 + 4, s.layer);
    for (size_t e = 0; e < s.load.size(); ++e) {
      const double x = kLeft + cell * static_cast<double>(e);
      const int colour = colour_of(s.relative_load(e));
      svg += fmt::format(
          "<g><title>{}</title><rect class=\"h{}\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" "
          "height=\"{:.1f}\"/>",
          tooltip(s, e), colour, x, y, cell - gap, height - 2);
      if (colour == kDead)
        svg += cross(x, y, cell - gap, height - 2);
      else if (with_numbers) {
        svg += fmt::format("<text class=\"t{}\" x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{}</text>", colour,
                           x + (cell - gap) / 2, y + height / 2 + 3, short_load(s.relative_load(e)));
      }
      svg += "</g>\n";
    }
  }
  return svg + "</svg>\n";
}

namespace {

constexpr int64_t kMaxColumns = 96, kMaxRows = 128;

// A map's cells: adjacent records share a column and adjacent experts share a row where there are too many of them.
class LoadGrid {
 public:
  explicit LoadGrid(const LoadOverTime& map)
      : map_(map),
        records_(static_cast<int64_t>(map.steps.size())),
        experts_(static_cast<int64_t>(map.loads[0].size())) {}

  int64_t columns() const { return std::min(records_, kMaxColumns); }
  int64_t rows() const { return std::min(experts_, kMaxRows); }
  int64_t experts() const { return experts_; }
  Share experts_of(int64_t row) const { return share_of(experts_, rows(), row); }

  // The step at which the map begins: a record covers the steps since the previous one.
  double begin() const { return records_ > 1 ? std::max(0.0, 2 * map_.steps[0] - map_.steps[1]) : 0; }
  // The step at which a column begins; edge(columns()) is the end of the map.
  double edge(int64_t column) const {
    const int64_t record = share_of(records_, columns(), column).begin;
    return record == 0 ? begin() : map_.steps[as_index(record - 1)];
  }
  // Mean relative load.
  double cell(int64_t row, int64_t column) const {
    const Share records = share_of(records_, columns(), column), members = experts_of(row);
    double sum = 0;
    for (int64_t r = records.begin; r < records.begin + records.count; ++r) {
      const std::vector<double>& load = map_.loads[as_index(r)];
      const int64_t end = std::min(members.begin + members.count, static_cast<int64_t>(load.size()));
      for (int64_t e = members.begin; e < end; ++e) sum += load[as_index(e)];
    }
    return sum * static_cast<double>(experts_) / static_cast<double>(records.count * members.count);
  }

 private:
  const LoadOverTime& map_;
  int64_t records_, experts_;
};

}  // namespace

std::string draw(const LoadOverTime& map) {
  if (map.steps.empty() || map.loads.empty()) return "";
  constexpr double kWidth = 540, kLeft = 46, kRight = 528, kTop = 6;
  const LoadGrid grid(map);
  const double row_height = std::clamp(200.0 / static_cast<double>(grid.rows()), 2.5, 16.0);
  const double height = row_height * static_cast<double>(grid.rows()), bottom = kTop + height;
  const double row_gap = row_height > 5 ? 0.5 : 0;
  const Axis x_axis = linear_axis(grid.begin(), map.steps.back(), 6);
  const auto x_of = [&](int64_t column) { return kLeft + x_axis.position(grid.edge(column)) * (kRight - kLeft); };

  // One path holds all cells of a colour; adjacent cells of equal colour in a row form one rectangle.
  std::array<std::string, kColours + 1> paths;
  std::string hovers;
  for (int64_t row = 0; row < grid.rows(); ++row) {
    const double y = kTop + row_height * static_cast<double>(row);
    double total = 0;
    for (int64_t column = 0, next; column < grid.columns(); column = next) {
      const int colour = colour_of(grid.cell(row, column));
      for (next = column; next < grid.columns() && colour_of(grid.cell(row, next)) == colour; ++next) {
        total += grid.cell(row, next);
      }
      paths[as_index(colour)] +=
          fmt::format("M{0:.1f} {1:.2f}H{2:.1f}v{3:.2f}H{0:.1f}z", x_of(column), y, x_of(next), row_height - row_gap);
    }
    const Share members = grid.experts_of(row);
    const std::string name = members.count == 1
                                 ? fmt::format("expert {}", members.begin)
                                 : fmt::format("experts {} to {}", members.begin, members.begin + members.count - 1);
    hovers += fmt::format(
        "<rect class=\"hover\" x=\"{:.0f}\" y=\"{:.2f}\" width=\"{:.0f}\" height=\"{:.2f}\">"
        "<title>{}: {:.2f} x fair share on average</title></rect>\n",
        kLeft, y, kRight - kLeft, row_height, name, total / static_cast<double>(grid.columns()));
  }

  std::string svg = fmt::format(
      "<svg viewBox=\"0 0 {:.0f} {:.0f}\" role=\"img\">"
      "<title>{}: load of every expert over the steps</title>\n",
      kWidth, bottom + 40, escape_markup(map.title));
  for (size_t colour = 0; colour < paths.size(); ++colour) {
    if (!paths[colour].empty()) svg += fmt::format("<path class=\"h{}\" d=\"{}\"/>\n", colour, paths[colour]);
  }
  for (const int64_t e : numbered_experts(grid.experts(), static_cast<int>(height / 24) + 1)) {
    svg += fmt::format("<text class=\"tick\" x=\"{:.0f}\" y=\"{:.1f}\" text-anchor=\"end\">{}</text>", kLeft - 6,
                       kTop + (static_cast<double>(e) + 0.5) * height / static_cast<double>(grid.experts()) + 4, e);
  }
  svg += draw_x_axis(x_axis, kLeft, kRight, bottom, "step") + hovers + "</svg>\n";
  return figure(map.title, "experts over steps", svg);
}

namespace {

std::string svg_of(double height, const std::string& title, const std::string& note, const std::string& body) {
  return figure(title, note,
                fmt::format("<svg viewBox=\"0 0 540 {:.1f}\" role=\"img\"><title>{}</title>\n{}</svg>\n", height,
                            escape_markup(title + ": " + note), body));
}

// A table of cells whose upper left corner is at (x, y).
std::string cells(const std::vector<std::vector<double>>& values, double x, double y, double width, double height) {
  std::string svg;
  for (size_t r = 0; r < values.size(); ++r) {
    for (size_t c = 0; c < values[r].size(); ++c) {
      svg += fmt::format(
          "<rect class=\"h{}\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\"><title>{:.2f} x fair "
          "share</title></rect>",
          colour_of(values[r][c]), x + width * static_cast<double>(c), y + height * static_cast<double>(r), width - 0.5,
          height - 0.5, values[r][c]);
    }
    svg += "\n";
  }
  return svg;
}

std::string label(double x, double y, const char* anchor, const std::string& text) {
  return fmt::format("<text class=\"tick\" x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\">{}</text>\n", x, y, anchor,
                     escape_markup(text));
}

}  // namespace

std::string draw(const CellMap& map) {
  if (map.values.empty() || map.values[0].empty()) return "";
  constexpr double kLeft = 110, kTop = 20, kWidth = 428;
  const double width = kWidth / static_cast<double>(map.values[0].size());
  const double height = std::clamp(360 / static_cast<double>(map.values.size()), 8.0, 22.0);
  std::string svg;
  for (const int64_t c : numbered_experts(std::ssize(map.columns), static_cast<int>(kWidth / 24)))
    svg += label(kLeft + (static_cast<double>(c) + 0.5) * width, kTop - 6, "middle", map.columns[as_index(c)]);
  for (size_t r = 0; r < map.rows.size(); ++r)
    svg += label(kLeft - 6, kTop + (static_cast<double>(r) + 0.5) * height + 4, "end", map.rows[r]);
  svg += cells(map.values, kLeft, kTop, width, height);
  return svg_of(kTop + height * static_cast<double>(map.values.size()) + 4, map.title, map.note, svg);
}

std::string draw(const CellMaps& maps) {
  if (maps.values.empty() || maps.values[0].empty() || maps.values[0][0].empty()) return "";
  constexpr size_t kAcross = 4;
  constexpr double kWidth = 126, kStep = 138, kTop = 18;
  const double width = kWidth / static_cast<double>(maps.values[0][0].size());
  const double height = std::clamp(60 / static_cast<double>(maps.values[0].size()), 4.0, 24.0);
  const double below = kTop + height * static_cast<double>(maps.values[0].size()) + 8;
  std::string svg;
  for (size_t m = 0; m < maps.values.size(); ++m) {
    const double x = kStep * static_cast<double>(m % kAcross), y = below * static_cast<double>(m / kAcross);
    svg += label(x, y + kTop - 5, "start", maps.names[m]) + cells(maps.values[m], x, y + kTop, width, height);
  }
  return svg_of(below * static_cast<double>((maps.values.size() + kAcross - 1) / kAcross), maps.title, maps.note, svg);
}

static std::string legend(const std::string& dead) {
  static constexpr std::array<const char*, kColours> kLabels = {"1/4", "", "1/2", "", "1", "", "2", "", "4"};
  std::string html = "<p class=\"legend ramp\"><span>load over fair share</span>";
  for (int c = 0; c < kColours; ++c) html += fmt::format("<i class=\"b{}\">{}</i>", c, kLabels[as_index(c)]);
  return html + dead + "</p>\n";
}

std::string load_map_legend() {
  return legend("<i class=\"b9\">&#215;</i><span>dead: no token</span>");
}
std::string load_over_time_legend() {
  return legend("<i class=\"b10\"></i><span>no token</span>");
}

}  // namespace moe
