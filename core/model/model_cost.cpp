#include "core/model/model_cost.h"

#include "core/base/integer.h"

namespace moe {

// Adds a parameter to its block. A matrix takes two operations per element and token.
static void add_to_block(BlockCost& block, const Parameter& p) {
  const auto elements = static_cast<double>(p.shape.size());
  if (p.group == ParameterGroup::expert) {
    block.expert_parameters += elements;
    return;
  }
  block.shared_parameters += elements;
  if (p.shape.rank() != 2) return;
  if (p.place.role == ParameterRole::attention) block.attention += 2 * elements;
  if (p.place.role == ParameterRole::feed_forward || p.place.role == ParameterRole::shared_expert)
    block.feed_forward += 2 * elements;
}

ModelCost cost_of(const ParameterStore& parameters, const Model& model, int64_t time) {
  const Backbone& backbone = model.backbone();
  ModelCost cost;
  cost.sums_first = model.needs_forward_first();
  cost.blocks.resize(as_index(backbone.layers()));
  const Parameter& head = model.head().weight();
  const double share = static_cast<double>(model.predictions_per_sample(time)) / static_cast<double>(time);
  cost.head = 2 * share * static_cast<double>(head.shape.size());
  cost.width = static_cast<double>(head.shape[1]);
  for (const Parameter& p : parameters.parameters()) {
    if (p.group == ParameterGroup::untrained) continue;
    if (p.place.layer >= 0) {
      add_to_block(cost.blocks[as_index(p.place.layer)], p);
      continue;
    }
    const bool is_head = p.place.role == ParameterRole::head;
    (is_head ? cost.first_parameters : cost.last_parameters) += static_cast<double>(p.shape.size());
  }
  const double products = 2.0 * backbone.attention_products() * backbone.mean_visible(time) *
                          static_cast<double>(backbone.attention_width());
  for (BlockCost& block : cost.blocks) block.attention += products;
  for (const MoELayer* layer : model.moe_layers()) {
    BlockCost& block = cost.blocks[as_index(layer->layer())];
    block.assignment = layer->flops_per_assignment() / 3;
    block.assignments = static_cast<double>(layer->experts_per_token()) * layer->training_passes();
    block.experts = static_cast<double>(layer->num_experts());
  }
  return cost;
}

}  // namespace moe
