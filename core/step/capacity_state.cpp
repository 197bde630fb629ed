#include "core/step/capacity_state.h"

#include <algorithm>

#include "core/base/json.h"

namespace moe {

Json capacity_state(const Model& model) {
  Json layers;
  for (MoELayer* layer : model.moe_layers()) {
    const std::span<const double> numbers = layer->capacity_state();
    if (!numbers.empty()) layers.push_back(std::vector<double>(numbers.begin(), numbers.end()));
  }
  return layers;
}

void restore_capacity_state(Model& model, const Json& state, const std::string& path) {
  size_t next = 0;
  for (MoELayer* layer : model.moe_layers()) {
    const std::span<double> numbers = layer->capacity_state();
    if (numbers.empty()) continue;
    const bool fits = state.is_array() && next < state.size() && state[next].is_array() &&
                      state[next].size() == numbers.size() &&
                      std::all_of(state[next].begin(), state[next].end(), [](const auto& x) { return x.is_number(); });
    if (!fits)
      raise<CheckpointError>(
          "{} does not contain a fitting state of moe.capacity for layer {}; was it written with another moe.capacity?",
          path, layer->layer());
    for (size_t i = 0; i < numbers.size(); ++i) numbers[i] = state[next][i].template get<double>();
    ++next;
  }
}

}  // namespace moe
