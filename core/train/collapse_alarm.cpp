#include "core/train/collapse_alarm.h"

#include <algorithm>
#include <cmath>

#include "core/base/integer.h"
#include "core/base/json.h"
#include "core/moe/expert_mapping.h"

namespace moe {

CollapseAlarm::CollapseAlarm(const AlarmConfig& config, size_t moe_layers)
    : config_(config), updates_(2 * moe_layers) {}

std::string CollapseAlarm::Event::in_words() const {
  if (std::string_view(quantity) == "share")
    return fmt::format("expert {} of layer {} has {:.1f} % of the assignments", expert, layer, 100 * value);
  return fmt::format("the router entropy of layer {} is {:.4f} of ln(experts)", layer, value);
}

std::vector<CollapseAlarm::Event> CollapseAlarm::observe(const Model& model) {
  std::vector<Event> events;
  if (!is_on()) return events;
  for (size_t i = 0; i < model.moe_layers().size(); ++i) {
    const MoELayer& layer = *model.moe_layers()[i];
    const LoadStats& load = layer.load();
    if (load.assignments() == 0 || layer.num_experts() < 2) continue;
    const auto busiest = std::max_element(load.counts.begin(), load.counts.end());
    const int64_t expert = busiest - load.counts.begin();
    const double share = *busiest / load.assignments();
    const double entropy = load.mean_entropy() / std::log(static_cast<double>(layer.num_experts()));
    const auto look = [&](size_t limit, bool beyond, Event event) {
      int64_t& updates = updates_[2 * i + limit];
      updates = beyond ? updates + 1 : 0;
      if (updates < config_.updates) return;
      updates = 0;
      events.push_back(event);
    };
    look(0, config_.share > 0 && share > config_.share,
         {.moe_layer = i,
          .layer = layer.layer(),
          .quantity = "share",
          .value = share,
          .limit = config_.share,
          .expert = expert});
    look(1, config_.entropy > 0 && entropy < config_.entropy,
         {.moe_layer = i,
          .layer = layer.layer(),
          .quantity = "entropy",
          .value = entropy,
          .limit = config_.entropy,
          .expert = expert});
  }
  return events;
}

CollapseAlarm::UnderUsed CollapseAlarm::under_used(const Model& model, const std::vector<Event>& events) {
  constexpr double kUnderUsed = 0.1;  // of a fair share
  UnderUsed result;
  for (size_t i = 0; i < model.moe_layers().size(); ++i) {
    const LoadStats& load = model.moe_layers()[i]->load();
    std::vector<double>& use = result.use.emplace_back(load.counts.begin(), load.counts.end());
    std::vector<int64_t>& found = result.experts.emplace_back();
    for (double& share : use) share /= std::max(load.assignments(), 1.0);
    const bool reported = std::any_of(events.begin(), events.end(), [&](const Event& e) { return e.moe_layer == i; });
    if (!reported) continue;
    const double limit = kUnderUsed / static_cast<double>(use.size());
    for (const int64_t expert : by_use(use)) {
      if (found.empty() || use[as_index(expert)] < limit) found.push_back(expert);
    }
  }
  return result;
}

Json CollapseAlarm::state(const Model& model) const {
  if (!is_on()) return {};
  std::vector<double> raised;
  for (MoELayer* layer : model.moe_layers()) raised.push_back(layer->balance().raised());
  return {{"updates", updates_}, {"raised", raised}};
}

void CollapseAlarm::restore(Model& model, const Json& state, const std::string& path) {
  if (!is_on() || state.is_null()) return;  // the alarm may have been off when the checkpoint was written
  const auto numbers = [&](const char* name, size_t count) {
    const Json* list = state.find(name);
    const bool fits = list && list->is_array() && list->size() == count &&
                      std::all_of(list->begin(), list->end(), [](const auto& x) { return x.is_number(); });
    if (!fits) raise<CheckpointError>("{} does not contain a fitting state of moe.alarm", path);
    return list->get<std::vector<double>>();
  };
  if (!state.is_object()) raise<CheckpointError>("{} does not contain a fitting state of moe.alarm", path);
  const std::vector<double> updates = numbers("updates", updates_.size());
  const std::vector<double> raised = numbers("raised", model.moe_layers().size());
  for (size_t i = 0; i < updates.size(); ++i) updates_[i] = static_cast<int64_t>(updates[i]);
  for (size_t i = 0; i < raised.size(); ++i) model.moe_layers()[i]->balance().raise_by(raised[i]);
}

}  // namespace moe
