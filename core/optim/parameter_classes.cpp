#include "core/optim/parameter_classes.h"

#include <algorithm>

namespace moe {

// What the name of a parameter of a class begins with or has in it. What is left belongs to routers and strategies.
struct NamePart {
  const char* part;
  bool begins;
  ParameterClassConfig ParameterClassesConfig::*of;
};
static constexpr NamePart kNameParts[] = {
    {"embedding.", true, &ParameterClassesConfig::embeddings},
    {"patch_embedding.", true, &ParameterClassesConfig::embeddings},
    {"positions.", true, &ParameterClassesConfig::embeddings},
    {"relative_positions.", true, &ParameterClassesConfig::embeddings},
    {"class_token", true, &ParameterClassesConfig::embeddings},
    {"head.", true, &ParameterClassesConfig::head},
    {".attention.", false, &ParameterClassesConfig::attention},
    {".feed_forward.", false, &ParameterClassesConfig::dense},
    {".shared.", false, &ParameterClassesConfig::dense},
};

const ParameterClassConfig& class_of(const Parameter& parameter, const ParameterClassesConfig& classes) {
  if (!parameter.decay) return classes.vectors;
  if (parameter.group == ParameterGroup::expert) return classes.experts;
  for (const NamePart& entry : kNameParts) {
    const size_t at = parameter.name.find(entry.part);
    if (entry.begins ? at == 0 : at != std::string::npos) return classes.*entry.of;
  }
  return classes.routers;
}

std::vector<ParameterRange> parameter_ranges(ParameterStore& parameters, ParameterGroup group,
                                             const ParameterClassesConfig& classes) {
  const Tensor buffer = parameters.buffer(group).value;
  std::vector<ParameterRange> ranges;
  for (const Parameter& parameter : parameters.parameters()) {
    if (parameter.group != group) continue;
    const ParameterClassConfig& of = class_of(parameter, classes);
    ranges.push_back({element_offset(parameter.value, buffer), 0, of.learning_rate, of.weight_decay});
  }
  std::sort(ranges.begin(), ranges.end(),
            [](const ParameterRange& a, const ParameterRange& b) { return a.begin < b.begin; });
  // A range reaches to the next one: the gaps between parameters are zero and stay so.
  std::vector<ParameterRange> merged;
  for (const ParameterRange& range : ranges) {
    const bool same = !merged.empty() && merged.back().learning_rate == range.learning_rate &&
                      merged.back().weight_decay == range.weight_decay;
    if (!same) merged.push_back(range);
  }
  for (size_t i = 0; i < merged.size(); ++i) {
    merged[i].count = (i + 1 < merged.size() ? merged[i + 1].begin : buffer.size()) - merged[i].begin;
  }
  return merged;
}

}  // namespace moe
