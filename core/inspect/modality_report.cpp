#include "core/inspect/modality_report.h"

#include <algorithm>
#include <vector>

#include "core/base/text.h"
#include "core/inspect/heat_map.h"
#include "core/inspect/load_bars.h"
#include "core/inspect/markup.h"
#include "core/inspect/page.h"

namespace moe {

static constexpr int kBarColumns = 64;

static bool has_several(const Inspection& i) {
  return i.modalities.size() > 1 && !i.layers.empty() && !i.layers[0].by_modality.empty();
}

std::string modality_text(const Inspection& i, bool colour) {
  if (!has_several(i)) return "";
  const Painter paint(colour);
  size_t width = 0;
  for (const std::string& name : i.modalities) width = std::max(width, name.size());
  std::string text = "\nexperts by modality: share of the modality's assignments over the fair share\n";
  for (const LayerStats& s : i.layers) {
    for (size_t m = 0; m < s.by_modality.size(); ++m) {
      std::vector<double> relative;
      for (const double share : s.by_modality[m]) relative.push_back(share * static_cast<double>(s.experts()));
      text += fmt::format("{:>5}  {:<{}}  {}  largest share {:.1f}%, as if {:.1f} experts were used evenly\n", s.layer,
                          i.modalities[m], width, load_bars(relative, kBarColumns, paint),
                          100 * *std::max_element(s.by_modality[m].begin(), s.by_modality[m].end()),
                          effective_share(s.by_modality[m]) * static_cast<double>(s.experts()));
    }
  }
  return text;
}

std::string modality_markup(const Inspection& i) {
  if (!has_several(i)) return "";
  std::string html;
  for (size_t m = 0; m < i.modalities.size(); ++m) {
    std::vector<LayerStats> layers = i.layers;
    for (LayerStats& layer : layers) layer.load = layer.by_modality[m];
    html += figure(escape_markup("Load by tokens of: " + i.modalities[m]),
                   "share of the modality's assignments over the fair share", draw_load_map(layers), "whole");
  }
  return html;
}

Json modality_json(const Inspection& i) {
  Json json = Json::object();
  if (!has_several(i)) return json;
  for (size_t m = 0; m < i.modalities.size(); ++m) {
    Json layers = Json::array();
    for (const LayerStats& layer : i.layers) layers.push_back(layer.by_modality[m]);
    json[i.modalities[m]] = layers;
  }
  return json;
}

}  // namespace moe
