#include "core/model/model_summary.h"

#include <map>

namespace moe {

double dense_flops_per_token(const ParameterStore& parameters, const Model& model, int64_t time) {
  int64_t matrices = 0, of_head = 0;  // the head's matrices are used once per prediction
  const Parameter& head = model.head().weight();
  of_head += head.shape.size();
  for (const Parameter& p : parameters.parameters()) {
    if (p.group == ParameterGroup::expert || p.shape.rank() != 2 || p.lookup || &p == &head) continue;
    (p.place.role == ParameterRole::head ? of_head : matrices) += p.shape.size();
  }
  const double head_share = static_cast<double>(model.predictions_per_sample(time)) / static_cast<double>(time);
  const Backbone& backbone = model.backbone();
  // Each forward product has two backward products, and each element of a product takes two operations.
  const double attention = 6.0 * backbone.attention_products() * backbone.mean_visible(time) *
                           static_cast<double>(backbone.layers() * backbone.attention_width());
  return 6.0 * static_cast<double>(matrices) + 6.0 * head_share * static_cast<double>(of_head) + attention;
}

ModelSummary summarise(const ParameterStore& parameters, const Model& model, int64_t time) {
  ModelSummary s;
  std::map<int, int64_t> by_block;  // parameters of routed experts by block
  for (const Parameter& p : parameters.parameters()) {
    s.parameters += p.shape.size();
    if (p.group != ParameterGroup::expert) continue;
    s.expert_parameters += p.shape.size();
    by_block[p.place.layer] += p.shape.size();
  }
  double experts = 0, passes = 0;  // active expert parameters, at evaluation and times the passes of a training step
  for (const MoELayer* layer : model.moe_layers()) {
    const double active =
        static_cast<double>(by_block[layer->layer()] / layer->num_experts() * layer->experts_per_token());
    experts += active;
    passes += active * layer->training_passes();
  }
  s.active_parameters = s.parameters - s.expert_parameters + static_cast<int64_t>(experts);
  s.flops_per_token = dense_flops_per_token(parameters, model, time) + 6.0 * passes;
  return s;
}

}  // namespace moe
