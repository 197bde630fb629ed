#include "core/inspect/churn.h"

#include <algorithm>

#include "core/base/integer.h"

namespace moe {

Evaluation evaluate_with_choices(LoadedRun& run, const Task& task, const std::string& split,
                                 const EvaluationOptions& options, Choices& choices) {
  const auto layers = run.state->model->moe_layers();
  choices.assign(layers.size(), {});
  for (size_t i = 0; i < layers.size(); ++i) {
    choices[i].scored_only = true;
    layers[i]->record_choices(&choices[i]);
  }
  const Evaluation result = evaluate(*run.state, run.groups, task, split, options);
  for (MoELayer* layer : layers) layer->record_choices(nullptr);
  return result;
}

std::vector<double> churn(const Choices& now, const Choices& before, LoadedRun& now_run, LoadedRun& before_run) {
  const auto layers = now_run.state->model->moe_layers(), other = before_run.state->model->moe_layers();
  const auto differ = [&] {
    raise<CheckpointError>("the choices of {} and {} cannot be compared: their MoE layers differ", now_run.checkpoint,
                           before_run.checkpoint);
  };
  if (layers.size() != other.size()) differ();
  std::vector<double> sums(2 * layers.size());  // sums of changed shares and of tokens, per layer
  for (size_t layer = 0; layer < layers.size(); ++layer) {
    const RoutingRecord &latest = now[layer], &earlier = before[layer];
    const auto k = as_index(latest.slots), m = as_index(earlier.slots);
    if (layers[layer]->num_experts() != other[layer]->num_experts() || latest.place.size() != earlier.place.size())
      differ();
    for (size_t t = 0; t < latest.place.size(); ++t) {
      const auto first = earlier.chosen.begin() + static_cast<std::ptrdiff_t>(t * m);
      const auto last = first + static_cast<std::ptrdiff_t>(m);
      double chosen = 0, fresh = 0;
      for (size_t j = t * k; j < (t + 1) * k; ++j) {
        if (latest.chosen[j] < 0) continue;
        ++chosen;
        fresh += std::find(first, last, latest.chosen[j]) == last;
      }
      if (chosen == 0) continue;
      sums[2 * layer] += fresh / chosen;
      sums[2 * layer + 1] += 1;
    }
  }
  now_run.groups.world->all_reduce_sum(as_tensor(std::span(sums)));
  std::vector<double> result;
  for (size_t layer = 0; layer < layers.size(); ++layer) {
    result.push_back(sums[2 * layer] / std::max(1.0, sums[2 * layer + 1]));
  }
  return result;
}

}  // namespace moe
