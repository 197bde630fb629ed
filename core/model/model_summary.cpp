#include "core/model/model_summary.h"

namespace moe {

ModelSummary summarise(const ParameterStore& parameters, const LanguageModel& model, int64_t context) {
  ModelSummary s;
  int64_t matrices = 0;
  for (const Parameter& p : parameters.parameters()) {
    s.parameters += p.shape.size();
    if (p.group == ParameterGroup::expert)
      s.expert_parameters += p.shape.size();
    else if (p.shape.rank() == 2 && !p.lookup)
      matrices += p.shape.size();
  }
  if (model.is_tied()) matrices += model.vocab() * model.d_model();
  double experts = 0, passes = 0;  // active expert parameters, and how often a training step multiplies by them
  for (const MoELayer* layer : model.moe_layers()) {
    const double active = static_cast<double>(s.expert_parameters / static_cast<int64_t>(model.moe_layers().size()) /
                                              layer->num_experts() * layer->experts_per_token());
    experts += active;
    passes += active * layer->training_passes();
  }
  s.active_parameters = s.parameters - s.expert_parameters + static_cast<int64_t>(experts);
  s.flops_per_token = 6.0 * (static_cast<double>(matrices) + passes) +
                      6.0 * static_cast<double>(model.layers() * model.attention_width() * context);
  return s;
}

}  // namespace moe
