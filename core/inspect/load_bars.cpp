#include "core/inspect/load_bars.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <iterator>
#include <numeric>
#include <vector>

#include "core/base/integer.h"
#include "core/base/statistics.h"
#include "core/inspect/layer_stats.h"

namespace moe {

static constexpr std::array<std::string_view, 8> kBlocks = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};

std::string Painter::operator()(Colour colour, std::string_view text) const {
  static constexpr std::array<const char*, 6> kCodes = {"0", "2", "31", "33", "35", "1"};
  if (!colour_ || colour == Colour::none) return std::string(text);
  return fmt::format("\x1b[{}m{}\x1b[0m", kCodes[as_index(colour)], text);
}

Colour colour_of_load(double relative) {
  if (relative == 0) return Colour::red;
  if (relative < LayerStats::kNearlyDead) return Colour::yellow;
  return relative > kFullBar ? Colour::magenta : Colour::none;
}

std::string_view load_bar(double relative) {
  if (relative == 0) return "×";
  const auto eighths = static_cast<int>(std::lround(relative / kFullBar * 8));
  return kBlocks[as_index(std::clamp(eighths, 1, 8) - 1)];
}

// The means of `columns` consecutive parts; the values themselves if there are not more of them.
static std::vector<double> means_of_parts(std::span<const double> values, int64_t columns) {
  if (std::ssize(values) <= columns) return {values.begin(), values.end()};
  std::vector<double> means;
  for (int64_t column = 0; column < columns; ++column) {
    const Share part = share_of(std::ssize(values), columns, column);
    means.push_back(mean(values.subspan(as_index(part.begin), as_index(part.count))));
  }
  return means;
}

std::string load_bars(std::span<const double> relative, int64_t columns, const Painter& paint) {
  std::vector<double> sorted(relative.begin(), relative.end());
  if (std::ssize(sorted) > columns) std::sort(sorted.begin(), sorted.end(), std::greater<>());
  std::string bars;
  for (const double level : means_of_parts(sorted, columns)) bars += paint(colour_of_load(level), load_bar(level));
  return bars;
}

std::string sparkline(std::span<const double> values, int64_t columns) {
  std::vector<double> known;
  std::copy_if(values.begin(), values.end(), std::back_inserter(known),
               [](double value) { return std::isfinite(value); });
  const std::vector<double> points = means_of_parts(known, columns);
  if (points.empty()) return "";
  const auto [low, high] = std::minmax_element(points.begin(), points.end());
  std::string line;
  for (const double point : points) {
    const double height = *high > *low ? (point - *low) / (*high - *low) : 0.5;
    line += kBlocks[as_index(std::min<int64_t>(7, static_cast<int64_t>(height * 8)))];
  }
  return line;
}

}  // namespace moe
