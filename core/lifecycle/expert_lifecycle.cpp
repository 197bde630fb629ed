#include "core/lifecycle/expert_lifecycle.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>

#include "core/base/integer.h"
#include "core/base/json.h"
#include "core/base/text.h"
#include "core/lifecycle/moved_tensors.h"

namespace moe {

static constexpr double kUseDecay = 0.95;  // per update: averages over about twenty updates

LayerNumbers configured_experts(const ModelConfig& model, const MoEConfig& moe) {
  LayerNumbers numbers;
  for (const auto& [block, config] : moe_blocks(model, moe)) numbers.push_back({config.experts, config.k_factor});
  return numbers;
}

TrainConfig with_experts(TrainConfig config, const LayerNumbers& numbers) {
  size_t i = 0;
  for (const auto& [block, of_block] : moe_blocks(config.model, config.moe)) {
    MOE_CHECK(i < numbers.size(), "expert numbers of {} layers for a model with more", numbers.size());
    config.moe.now[block] = numbers[i++];
  }
  return config;
}

int64_t fewest(const LayerNumbers& numbers) {
  int64_t result = numbers.empty() ? 0 : numbers[0].experts;
  for (const ExpertNumbers& n : numbers) result = std::min(result, n.experts);
  return result;
}

int64_t most(const LayerNumbers& numbers) {
  int64_t result = 0;
  for (const ExpertNumbers& n : numbers) result = std::max(result, n.experts);
  return result;
}

std::string to_words(const LayerNumbers& numbers) {
  if (fewest(numbers) == most(numbers)) return fmt::format("{}", most(numbers));
  std::vector<std::string> words;
  for (const ExpertNumbers& n : numbers) words.push_back(fmt::format("{}", n.experts));
  return join(words, ", ");
}

// A single number for all layers was written before layers could differ.
static LayerNumbers read_numbers(const Json& saved, size_t layers, const std::string& path) {
  try {
    LayerNumbers numbers;
    const auto &experts = saved.at("number"), &factors = saved.at("k_factor");
    for (size_t i = 0; i < layers; ++i) {
      numbers.push_back({experts.is_array() ? experts.at(i) : experts, factors.is_array() ? factors.at(i) : factors});
      if (numbers.back().experts < 1 || !(numbers.back().k_factor > 0)) break;
    }
    const bool fits = !experts.is_array() || (experts.size() == layers && factors.size() == layers);
    if (fits && numbers.size() == layers && fewest(numbers) >= (layers > 0 ? 1 : 0)) return numbers;
  } catch (const JsonError&) {
  }
  raise<CheckpointError>("{}/state.json is damaged: it has no number of experts", path);
}

TrainConfig with_saved_experts(TrainConfig config, const Json& saved, const std::string& path) {
  if (saved.is_null()) return config;
  const size_t layers = moe_blocks(config.model, config.moe).size();
  return with_experts(std::move(config), read_numbers(saved, layers, path));
}

ExpertChange restart_experts(const std::vector<std::vector<double>>& use, const std::vector<std::vector<int64_t>>& dead,
                             const LayerNumbers& numbers, double noise, double router_noise) {
  MOE_CHECK(use.size() == dead.size(), "{} layers of {}", dead.size(), use.size());
  ExpertChange change{.kind = "restart",
                      .before = numbers,
                      .after = numbers,
                      .noise = noise,
                      .router_noise = router_noise,
                      .mappings = {}};
  for (size_t layer = 0; layer < use.size(); ++layer) {
    change.mappings.push_back(restarting(use[layer], dead[layer]));
  }
  return change;
}

ExpertLifecycle::ExpertLifecycle(const ModelConfig& model, const MoEConfig& moe, const RunLength& run)
    : numbers_(configured_experts(model, moe)) {
  for (const Choice<ExpertEvent>& choice : moe.lifecycle.items()) {
    events_.push_back({choice.make(ExpertEvent::Setup{run}), 0, 0, {}});
  }
}

// Allocates the counters of each expert.
void ExpertLifecycle::prepare(size_t layers) {
  const auto make_room = [&](auto& lists) {
    if (lists.size() == layers) return;
    lists.assign(layers, {});
    for (size_t layer = 0; layer < layers; ++layer) lists[layer].resize(static_cast<size_t>(numbers_[layer].experts));
  };
  make_room(sums_);
  for (Event& event : events_) make_room(event.low);
}

void ExpertLifecycle::observe(const Model& model) {
  if (empty()) return;
  const auto layers = model.moe_layers();
  prepare(layers.size());
  weight_ = kUseDecay * weight_ + (1 - kUseDecay);
  for (size_t layer = 0; layer < layers.size(); ++layer) {
    const double fair = 1 / static_cast<double>(numbers_[layer].experts);
    const LoadStats& load = layers[layer]->load();
    const double assignments = load.assignments();
    for (size_t e = 0; e < load.counts.size(); ++e) {
      const double share = assignments > 0 ? load.counts[e] / assignments : 0;
      sums_[layer][e] = kUseDecay * sums_[layer][e] + (1 - kUseDecay) * share;
      for (Event& event : events_) {
        int64_t& low = event.low[layer][e];
        low = share < event.event->options().below * fair ? low + 1 : 0;
      }
    }
  }
}

std::vector<std::vector<double>> ExpertLifecycle::use() const {
  std::vector<std::vector<double>> shares = sums_;
  for (size_t layer = 0; layer < shares.size(); ++layer) {
    const double fair = 1 / static_cast<double>(numbers_[layer].experts);
    for (double& share : shares[layer]) share = weight_ > 0 ? share / weight_ : fair;
  }
  return shares;
}

static int64_t levels_below(const std::vector<double>& levels, double open) {
  return std::count_if(levels.begin(), levels.end(), [&](double level) { return level <= open + 1e-9; });
}

bool ExpertLifecycle::is_due(const Event& event, int64_t step, double open) const {
  const ExpertEvent& e = *event.event;
  if (e.options().times > 0 && event.happened >= e.options().times) return false;
  return e.is_triggered() || e.is_scheduled_at(step) || levels_below(e.opened(), open) > event.opened;
}

// The change that the event makes now; nothing when some layer does not have the experts for it.
std::optional<ExpertChange> ExpertLifecycle::change_by(const Event& event, TrainingState& state) const {
  const ExpertEvent& e = *event.event;
  ExpertChange change{.kind = e.kind(),
                      .before = numbers_,
                      .after = numbers_,
                      .noise = e.noise(),
                      .router_noise = e.router_noise(),
                      .mappings = {}};
  for (ExpertNumbers& n : change.after) n = e.numbers_after(n);
  const auto layers = state.model->moe_layers();
  const std::vector<std::vector<double>> shares = use();
  bool changes = false;
  for (size_t layer = 0; layer < layers.size(); ++layer) {
    std::vector<std::vector<double>> rows;  // computed on the first request
    const auto similarity = [&](int64_t a, int64_t b) {
      if (rows.empty()) rows = router_rows(state, *layers[layer]);
      const std::vector<double>&x = rows[as_index(a)], &y = rows[as_index(b)];
      const auto product = [](const std::vector<double>& u, const std::vector<double>& v) {
        return std::inner_product(u.begin(), u.end(), v.begin(), 0.0);
      };
      return product(x, y) / std::max(std::sqrt(product(x, x) * product(y, y)), 1e-30);
    };
    change.mappings.push_back(e.map({shares[layer], event.low[layer], similarity}));
    if (change.mappings.back().after() != change.after[layer].experts) return std::nullopt;
    changes |= !change.mappings.back().is_identity();
  }
  return changes ? std::optional(change) : std::nullopt;
}

void ExpertLifecycle::happen(int64_t step, double open, const std::function<TrainingState&()>& state,
                             const std::function<bool(const ExpertChange&)>& change) {
  if (step != step_) step_ = step, next_ = 0;
  while (next_ < events_.size()) {
    Event& event = events_[next_++];
    if (!is_due(event, step, open)) continue;
    prepare(state().model->moe_layers().size());
    const std::optional<ExpertChange> what = change_by(event, state());
    if (!what) continue;
    apply(*what);
    ++event.happened;
    event.opened = levels_below(event.event->opened(), open);
    if (!change(*what)) return;
  }
}

// Experts keep their use through the mapping; the time for which they have been under-used starts again from 0.
void ExpertLifecycle::apply(const ExpertChange& change) {
  numbers_ = change.after;
  for (size_t layer = 0; layer < sums_.size(); ++layer) {
    sums_[layer] = mapped_use(change.mappings[layer], sums_[layer]);
    for (Event& event : events_) event.low[layer].assign(static_cast<size_t>(numbers_[layer].experts), 0);
  }
}

Json ExpertLifecycle::save() const {
  if (empty()) return nullptr;
  Json events = Json::array();
  for (const Event& e : events_) {
    events.push_back({{"happened", e.happened}, {"opened", e.opened}, {"low", e.low}});
  }
  // A single number where all layers agree, as earlier versions wrote it.
  Json experts, factors;
  for (const ExpertNumbers& n : numbers_) experts.push_back(n.experts), factors.push_back(n.k_factor);
  if (!numbers_.empty() && std::count(numbers_.begin(), numbers_.end(), numbers_[0]) == std::ssize(numbers_)) {
    experts = numbers_[0].experts;
    factors = numbers_[0].k_factor;
  }
  return {{"number", experts}, {"k_factor", factors}, {"weight", weight_}, {"use", sums_},
          {"events", events},  {"step", step_},       {"next", next_}};
}

void ExpertLifecycle::restore(const Json& saved, const std::string& path) {
  if (empty()) return;
  const auto damaged = [&] { raise<CheckpointError>("{} does not hold the state of moe.lifecycle", path); };
  if (saved.is_null()) damaged();
  numbers_ = read_numbers(saved, numbers_.size(), path);
  const auto fits = [&](const auto& lists) {
    if (!lists.empty() && lists.size() != numbers_.size()) return false;
    for (size_t layer = 0; layer < lists.size(); ++layer) {
      if (lists[layer].size() != static_cast<size_t>(numbers_[layer].experts)) return false;
    }
    return true;
  };
  try {
    weight_ = saved.at("weight");
    sums_ = saved.at("use").get<std::vector<std::vector<double>>>();
    const auto& events = saved.at("events");
    if (events.size() != events_.size()) damaged();
    for (size_t i = 0; i < events_.size(); ++i) {
      events_[i].happened = events[i].at("happened");
      events_[i].opened = events[i].at("opened");
      events_[i].low = events[i].at("low").get<std::vector<std::vector<int64_t>>>();
      if (!fits(events_[i].low)) damaged();
    }
    // Earlier versions did not write these: with them all events of a step happened before a checkpoint of it.
    step_ = saved.value("step", int64_t{-1});
    next_ = saved.value("next", size_t{0});
    if (!fits(sums_) || next_ > events_.size()) damaged();
  } catch (const JsonError&) {
    damaged();
  }
}

}  // namespace moe
