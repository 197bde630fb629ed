#include "core/optim/parameter_classes.h"

#include <algorithm>

namespace moe {

void ParameterClassConfig::fields(FieldVisitor& v) {
  v.field("learning_rate", learning_rate, "factor on the learning rate of this class; 0 freezes its parameters",
          {0, 1e6});
  v.field("weight_decay", weight_decay, "factor on the weight decay of this class", {0, 1e6});
}

void ParameterClassesConfig::fields(FieldVisitor& v) {
  v.group("vectors", vectors, "Norms, biases, learned temperatures and tables that are not matrices of the model.");
  v.group("embeddings", embeddings, "Embeddings of tokens, patches and positions; with tied embeddings also the head.");
  v.group("head", head, "The output head.");
  v.group("routers", routers, "Routers and other parameters of strategies.");
  v.group("experts", experts, "Routed experts.");
  v.group("attention", attention, "Attention projections.");
  v.group("dense", dense, "Dense feed-forward layers and shared experts.");
}

// The class of a role. Norms and biases belong to `vectors` in every part of the model.
static const ParameterClassConfig& class_of(ParameterRole role, const ParameterClassesConfig& classes) {
  switch (role) {
    case ParameterRole::embedding:
    case ParameterRole::position:
    case ParameterRole::relative_position:
    case ParameterRole::class_token:
      return classes.embeddings;
    case ParameterRole::head:
      return classes.head;
    case ParameterRole::norm:
      return classes.vectors;
    case ParameterRole::attention:
      return classes.attention;
    case ParameterRole::feed_forward:
    case ParameterRole::shared_expert:
      return classes.dense;
    case ParameterRole::expert:
      return classes.experts;
    case ParameterRole::router:
      return classes.routers;
  }
  raise<InternalError>("a parameter without a role");
}

const ParameterClassConfig& class_of(const Parameter& parameter, const ParameterClassesConfig& classes) {
  return parameter.decay ? class_of(parameter.place.role, classes) : classes.vectors;
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
  // A range extends to the next one. The gaps between parameters hold zeros and stay zero.
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
