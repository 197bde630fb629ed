#include "core/inspect/sample_use.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "core/base/integer.h"
#include "core/base/text.h"
#include "core/inspect/heat_map.h"
#include "core/inspect/page.h"

namespace moe {
namespace {

void divide_by_sums(std::vector<std::vector<double>>& rows) {
  for (std::vector<double>& row : rows) {
    const double sum = std::accumulate(row.begin(), row.end(), 0.0);
    for (double& x : row) x /= sum > 0 ? sum : 1;
  }
}

LayerUse use_of(const StepTrace& trace, const LayerTrace& layer, size_t classes,
                const std::optional<SampleGrid>& grid) {
  const std::vector<double> none(as_index(layer.experts));
  LayerUse use{layer.block, {classes, none}, {}};
  if (grid) use.by_place.assign(as_index(grid->rows * grid->columns), none);
  for (int64_t token = 0; token < trace.tokens(); ++token) {
    const int32_t label = trace.labels[as_index(token)];
    const int64_t place = grid ? grid->place_of(trace.positions[as_index(token)]) : -1;
    for (int64_t slot = 0; slot < layer.slots; ++slot) {
      const int32_t expert = layer.expert(token, slot);
      if (expert == kNoExpert) continue;
      if (label >= 0 && as_index(label) < classes) use.by_class[as_index(label)][as_index(expert)] += 1;
      if (place >= 0) use.by_place[as_index(place)][as_index(expert)] += 1;
    }
  }
  divide_by_sums(use.by_class);
  divide_by_sums(use.by_place);
  return use;
}

// Values relative to the fair share.
std::vector<std::vector<double>> relative(std::vector<std::vector<double>> shares) {
  for (std::vector<double>& row : shares) {
    for (double& x : row) x *= static_cast<double>(row.size());
  }
  return shares;
}

// An expert's shares of the places as the picture shows them, the highest row first.
std::vector<std::vector<double>> picture_of(const LayerUse& use, const SampleGrid& grid, size_t expert) {
  std::vector<std::vector<double>> rows;
  for (int64_t row = 0; row < grid.rows; ++row) {
    const int64_t from = grid.upward ? grid.rows - 1 - row : row;
    std::vector<double>& values = rows.emplace_back();
    for (int64_t column = 0; column < grid.columns; ++column) {
      const std::vector<double>& place = use.by_place[as_index(from * grid.columns + column)];
      values.push_back(place[expert] * static_cast<double>(place.size()));
    }
  }
  return rows;
}

std::vector<std::string> numbers(const std::string& before, size_t count) {
  std::vector<std::string> names;
  for (size_t i = 0; i < count; ++i) names.push_back(before + std::to_string(i));
  return names;
}

}  // namespace

SampleUse sample_use(const StepTrace& trace, std::vector<std::string> classes, std::optional<SampleGrid> grid) {
  SampleUse use{std::move(classes), grid, {}};
  if (use.classes.empty() || std::ssize(trace.labels) != trace.tokens()) return use;
  for (const LayerTrace& layer : trace.layers) use.layers.push_back(use_of(trace, layer, use.classes.size(), grid));
  return use;
}

std::string sample_use_text(const SampleUse& use) {
  constexpr size_t kClasses = 3, kExperts = 16;
  if (use.layers.empty()) return "";
  const std::vector<std::vector<double>> shares = relative(use.layers.back().by_class);
  std::string text =
      fmt::format("\nclasses that the experts of layer {} get most, x the fair share of their tokens\n{:>6}\n",
                  use.layers.back().block, "expert");
  for (size_t e = 0; e < std::min(shares[0].size(), kExperts); ++e) {
    std::vector<size_t> order(shares.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return shares[a][e] > shares[b][e]; });
    std::vector<std::string> most;
    for (size_t i = 0; i < std::min(kClasses, order.size()); ++i)
      most.push_back(fmt::format("{} {:.2f}", shown(use.classes[order[i]]), shares[order[i]][e]));
    text += fmt::format("{:>6}  {}\n", e, join(most, ", "));
  }
  if (shares[0].size() > kExperts)
    text += fmt::format("... and {} more; --json has all\n", shares[0].size() - kExperts);
  return text;
}

std::string class_use_section(const SampleUse& use) {
  std::string html;
  for (const LayerUse& layer : use.layers) {
    html += draw(CellMap{.title = fmt::format("Classes in layer {}", layer.block),
                         .note = "classes x experts: share of a class's tokens over the fair share",
                         .rows = use.classes,
                         .columns = numbers("", layer.by_class[0].size()),
                         .values = relative(layer.by_class)});
  }
  return html.empty() ? "" : load_over_time_legend() + plots(html);
}

std::string place_use_section(const SampleUse& use) {
  constexpr size_t kMostExperts = 64;
  if (!use.grid) return "";
  std::string html;
  for (const LayerUse& layer : use.layers) {
    const size_t experts = std::min(layer.by_place[0].size(), kMostExperts);
    CellMaps maps{.title = fmt::format("Places in layer {}", layer.block),
                  .note = fmt::format("{} over {}, for each expert", use.grid->row, use.grid->column),
                  .names = numbers("expert ", experts),
                  .values = {}};
    for (size_t e = 0; e < experts; ++e) maps.values.push_back(picture_of(layer, *use.grid, e));
    html += draw(maps);
  }
  return html.empty() ? "" : load_over_time_legend() + plots(html);
}

Json sample_use_json(const SampleUse& use) {
  if (use.layers.empty()) return nullptr;
  Json layers = Json::array();
  for (const LayerUse& layer : use.layers)
    layers.push_back({{"layer", layer.block}, {"by_class", layer.by_class}, {"by_place", layer.by_place}});
  Json grid = nullptr;
  if (use.grid) {
    grid = {{"rows", use.grid->rows},
            {"columns", use.grid->columns},
            {"row", use.grid->row},
            {"column", use.grid->column},
            {"upward", use.grid->upward}};
  }
  return {{"classes", use.classes}, {"grid", grid}, {"layers", layers}};
}

}  // namespace moe
