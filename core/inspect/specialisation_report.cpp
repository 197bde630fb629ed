#include "core/inspect/specialisation_report.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/inspect/heat_map.h"
#include "core/inspect/line_chart.h"
#include "core/inspect/load_bars.h"
#include "core/inspect/markup.h"
#include "core/inspect/page.h"

namespace moe {
namespace {

// The figures that some layer has.
std::vector<SpecialisationFigure> measured_figures(const Inspection& i) {
  std::vector<SpecialisationFigure> figures;
  for (const SpecialisationFigure& f : specialisation_figures()) {
    const auto has = [&](const LayerSpecialisation& s) { return !std::isnan((s.*f.figure).value); };
    if (std::any_of(i.specialisation.begin(), i.specialisation.end(), has)) figures.push_back(f);
  }
  return figures;
}

// A number below 1 in at most four columns: .61, -.05, 1.0.
std::string short_number(double x) {
  if (std::isnan(x)) return "-";
  std::string text = fmt::format("{:.2f}", x);
  if (text.size() > 4 && text[0] != '-') return text.substr(0, 4);
  if (text == "1.00" || text == "0.00") return text == "1.00" ? "1.0" : "0";
  return text[0] == '0' ? text.substr(1) : text[0] == '-' ? "-" + text.substr(2) : text.substr(0, 3);
}

std::string short_figure(const ChanceFigure& f) {
  return short_number(f.value) + "/" + short_number(f.chance);
}

// NaN becomes null.
Json number(double x) {
  return std::isnan(x) ? Json(nullptr) : Json(x);
}
Json to_json(const ChanceFigure& f) {
  return {{"value", number(f.value)}, {"chance", number(f.chance)}};
}

Json table(const std::vector<std::vector<double>>& rows) {
  Json result = Json::array();
  for (const std::vector<double>& row : rows) result.push_back(row);
  return result;
}

LineChart saturation_chart(const Inspection& i) {
  LineChart chart{
      .title = "Router saturation",
      .note = "share of the last evaluation's choices that were made already; chance: with the tokens permuted",
      .x_label = "step",
      .curves = {},
      .from_zero = true};
  const auto curve = [&](const std::string& name, size_t layer, double ChanceFigure::*value) {
    Curve& c = chart.curves.emplace_back(Curve{name, {}, {}});
    for (const SaturationPoint& p : i.saturation) {
      c.x.push_back(static_cast<double>(p.step));
      c.y.push_back(p.layers[layer].*value);
    }
  };
  const size_t layers = i.saturation[0].layers.size();
  static constexpr size_t kMostCurves = 6;
  for (size_t layer = 0; layer < layers; layer += std::max<size_t>(layers / kMostCurves, 1)) {
    const std::string name = layer < i.specialisation.size() ? fmt::format("layer {}", i.specialisation[layer].block)
                                                             : fmt::format("MoE layer {}", layer);
    curve(name, layer, &ChanceFigure::value);
  }
  curve("chance", 0, &ChanceFigure::chance);
  return chart;
}

constexpr const char* kParts[] = {"retrieved prefix", "window"};

bool has_parts(const Inspection& i) {
  return !i.specialisation.empty() && !i.specialisation[0].load_of_part.empty();
}

// A bar for each expert, by layer and part.
std::string parts_text(const Inspection& i) {
  if (!has_parts(i)) return "";
  constexpr int kBarColumns = 64;
  std::string text = "experts by part: share of the part's assignments over the fair share\n";
  for (const LayerSpecialisation& s : i.specialisation) {
    for (size_t part = 0; part < 2; ++part) {
      const std::vector<double>& load = s.load_of_part[part];
      std::vector<double> relative;
      for (const double share : load) relative.push_back(share * static_cast<double>(load.size()));
      text +=
          fmt::format("{:>5}  {:<16}  {}\n", s.block, kParts[part], load_bars(relative, kBarColumns, Painter(false)));
    }
    text += fmt::format("{:>5}  distance between the two {:.3f} (chance {:.3f})\n", "", s.retrieved.value,
                        s.retrieved.chance);
  }
  return text;
}

std::string parts_markup(const Inspection& i) {
  if (!has_parts(i)) return "";
  std::string html;
  for (size_t part = 0; part < 2; ++part) {
    std::vector<LayerStats> layers = i.layers;
    for (size_t l = 0; l < layers.size() && l < i.specialisation.size(); ++l)
      layers[l].load = i.specialisation[l].load_of_part[part];
    html += figure(fmt::format("Load by tokens of: {}", kParts[part]),
                   "share of the part's assignments over the fair share", draw_load_map(layers), "whole");
  }
  return html;
}

}  // namespace

std::string specialisation_text(const Inspection& i) {
  if (i.specialisation.empty()) return "";
  auto figures = measured_figures(i);
  // It has lines of its own, below the table.
  std::erase_if(figures, [](const SpecialisationFigure& f) { return f.figure == &LayerSpecialisation::retrieved; });
  std::string text = fmt::format("\nspecialisation on {} tokens: value/chance (with the tokens permuted)\n{:>5}",
                                 i.specialisation_tokens, "layer");
  for (const SpecialisationFigure& f : figures) text += fmt::format(" {:>8}", f.column);
  text += "\n";
  for (const LayerSpecialisation& s : i.specialisation) {
    text += fmt::format("{:>5}", s.block);
    for (const SpecialisationFigure& f : figures) text += fmt::format(" {:>8}", short_figure(s.*f.figure));
    text += "\n";
  }
  text += parts_text(i);
  if (i.saturation.empty()) return text;
  text += "router saturation: share of the last evaluation's choices made at step\n";
  const size_t shown = std::min<size_t>(i.saturation.size(), 6);
  for (size_t k = 0; k < shown; ++k) {
    const SaturationPoint& p = i.saturation[k * (i.saturation.size() - 1) / std::max<size_t>(shown - 1, 1)];
    double value = 0, chance = 0, layers = 0;
    for (const ChanceFigure& f : p.layers) {
      if (std::isnan(f.value)) continue;
      value += f.value, chance += f.chance, layers += 1;
    }
    if (layers > 0) text += fmt::format("{:>9}: {:.3f} (chance {:.3f})\n", p.step, value / layers, chance / layers);
  }
  return text;
}

std::string specialisation_section(const Inspection& i) {
  if (i.specialisation.empty()) return "";
  const auto figures = measured_figures(i);
  std::vector<std::string> columns{"layer"};
  for (const SpecialisationFigure& f : figures) {
    columns.emplace_back(f.title);
    columns.emplace_back("chance");
  }
  std::string html = fmt::format(
      "<p class=\"sub\">On {} tokens. Chance: with the tokens permuted.</p>\n"
      "<div class=\"card scroll\"><table>\n{}<tbody>\n",
      i.specialisation_tokens, header_cells(columns));
  for (const LayerSpecialisation& s : i.specialisation) {
    html += fmt::format("<tr><td>{}</td>", s.block);
    for (const SpecialisationFigure& f : figures) {
      for (const double x : {(s.*f.figure).value, (s.*f.figure).chance})
        html += std::isnan(x) ? "<td>-</td>" : fmt::format("<td>{:.3f}</td>", x);
    }
    html += "</tr>\n";
  }
  html += "</tbody></table></div>\n" + parts_markup(i);
  return html + (i.saturation.empty() ? "" : plots(draw({saturation_chart(i)})));
}

Json specialisation_json(const Inspection& i) {
  if (i.specialisation.empty()) return nullptr;
  Json layers = Json::array(), saturation = Json::array();
  for (const LayerSpecialisation& s : i.specialisation) {
    Json layer{{"layer", s.block}};
    for (const SpecialisationFigure& f : specialisation_figures()) layer[f.name] = to_json(s.*f.figure);
    layer["load"] = s.load;
    if (!s.load_of_part.empty())
      layer["load_of_prefix"] = s.load_of_part[0], layer["load_of_window"] = s.load_of_part[1];
    layer["gate_mass"] = s.gate_mass;
    layer["coactivations"] = table(s.coactivation_of);
    layer["similarities"] = table(s.similarity_of);
    layers.push_back(layer);
  }
  for (const SaturationPoint& p : i.saturation) {
    Json of_layers = Json::array();
    for (const ChanceFigure& f : p.layers) of_layers.push_back(to_json(f));
    saturation.push_back({{"step", p.step}, {"layers", of_layers}});
  }
  return {{"tokens", i.specialisation_tokens}, {"layers", layers}, {"saturation", saturation}};
}

}  // namespace moe
