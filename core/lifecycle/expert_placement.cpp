#include "core/lifecycle/expert_placement.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "core/base/integer.h"
#include "core/lifecycle/moved_experts.h"

namespace moe {

ExpertPlacement::ExpertPlacement(const Choice<Placement>& choice, const RunLength& run, int64_t replicas)
    : kind_(choice.kind()), placement_(choice.make(Placement::Setup{run})), replicas_(replicas) {}

static constexpr const char* kCopies = "copies_on_ranks";

// The host of each rank of the expert group, counted from 0. Empty where each rank is to be treated as a host: if all
// are on one, or if expert groups, which must have the same map, are spread over hosts in different ways. Collective.
static std::vector<int32_t> hosts_of(const ProcessGroups& groups) {
  std::map<int, int32_t> numbers;
  std::vector<int32_t> hosts, opposite;
  for (int rank = 0; rank < groups.expert->size(); ++rank) {
    const auto next = static_cast<int32_t>(numbers.size());
    hosts.push_back(numbers.emplace(groups.expert->host_of(rank), next).first->second);
    opposite.push_back(-hosts.back());
  }
  std::vector<int32_t> most = hosts;
  groups.world->all_reduce_max(as_tensor(std::span(most)));
  groups.world->all_reduce_max(as_tensor(std::span(opposite)));
  for (size_t i = 0; i < most.size(); ++i) {
    if (most[i] != -opposite[i]) return {};
  }
  return numbers.size() > 1 ? hosts : std::vector<int32_t>{};
}

void ExpertPlacement::forget() {
  updates_ = 0;
  layers_.clear();
}

// Allocates the sums of each layer.
void ExpertPlacement::prepare(const Model& model) {
  if (!layers_.empty()) return;
  for (const MoELayer* layer : model.moe_layers()) {
    Measured& measured = layers_.emplace_back();
    measured.rows.resize(as_index(layer->num_experts()));
    if (counts_pairs()) measured.pairs.resize(as_index(num_pairs(layer->num_experts())));
  }
}

void ExpertPlacement::observe(const Model& model, const ProcessGroups& groups) {
  if (!is_active(groups)) return;
  prepare(model);
  for (size_t i = 0; i < layers_.size(); ++i) {
    const LoadStats& load = model.moe_layers()[i]->load();
    for (size_t e = 0; e < layers_[i].rows.size(); ++e) layers_[i].rows[e] += load.counts[e] - load.dropped[e];
    for (size_t p = 0; p < layers_[i].pairs.size(); ++p) layers_[i].pairs[p] += load.pairs[p];
  }
  ++updates_;
}

std::vector<LayerPlacement> ExpertPlacement::place(TrainingState& state, const ProcessGroups& groups) {
  prepare(*state.model);
  const std::vector<int32_t> hosts = hosts_of(groups);
  std::vector<LayerPlacement> result;
  for (size_t i = 0; i < layers_.size(); ++i) {
    MoELayer& layer = *state.model->moe_layers()[i];
    const ExpertMap before = layer.expert_map();
    const PlacementInput input{.now = before, .rows = layers_[i].rows, .pairs = layers_[i].pairs, .hosts = hosts};
    const Replicas copies_before = layer.replicas();
    const auto choose = [&](const PlacementInput& reduced) { return placement_->choose(reduced); };
    const auto [after, copies] = replicates() ? place_with_replicas(input, copies_before, replicas_, choose)
                                              : PlacedReplicas{placement_->choose(input), {}};
    LayerPlacement& placed = result.emplace_back();
    placed.layer = layer.layer();
    placed.experts = layer.num_experts();
    placed.moved = after.moved(before);
    placed.copies = copies.number();
    placed.busiest_before = busiest_over_mean(before, copies_before, input.rows);
    placed.busiest_after = busiest_over_mean(after, copies, input.rows);
    if (counts_pairs()) {
      placed.together_before = share_together(before, input);
      placed.together_after = share_together(after, input);
    }
    move_experts(state, groups, layer, after);
    layer.replicate(copies);
    layer.update_copies(state.ctx);
  }
  forget();
  prepare(*state.model);
  return result;
}

Json ExpertPlacement::save(const Model& model, const ProcessGroups& groups) const {
  if (!is_active(groups)) return nullptr;
  Json layers = Json::array();
  for (size_t i = 0; i < model.moe_layers().size(); ++i) {
    Json layer = {{"rank_of_expert", model.moe_layers()[i]->expert_map().ranks_of_experts()}};
    if (const Replicas& copies = model.moe_layers()[i]->replicas(); !copies.empty()) {
      Json of_ranks = Json::array();
      for (const std::vector<int32_t>& of_rank : copies.of_ranks()) of_ranks.push_back(of_rank);
      layer[kCopies] = std::move(of_ranks);
    }
    if (!layers_.empty()) {
      layer["rows"] = layers_[i].rows;
      if (counts_pairs()) layer["pairs"] = layers_[i].pairs;
    }
    layers.push_back(std::move(layer));
  }
  return {{"ranks", groups.expert->size()}, {"updates", updates_}, {"layers", layers}};
}

// Sums of whole numbers of rows and tokens.
static bool are_counts(const std::vector<double>& x) {
  return std::all_of(x.begin(), x.end(), [](double n) { return std::isfinite(n) && n >= 0; });
}

std::optional<Replicas> ExpertPlacement::replicas_from(const Json& layer, const ExpertMap& map) const {
  if (!layer.contains(kCopies)) return Replicas();
  std::vector<std::vector<int32_t>> copies;
  for (const Json& of_rank : layer.at(kCopies)) copies.push_back(of_rank.get<std::vector<int32_t>>());
  if (std::ssize(copies) != map.ranks() || !Replicas::fits(map, copies, map.experts())) return std::nullopt;
  return Replicas::fits(map, copies, replicas_) ? Replicas(map, std::move(copies), replicas_) : Replicas();
}

void ExpertPlacement::restore(const Json& saved, Model& model, const ProcessGroups& groups, const std::string& path) {
  forget();
  if (saved.is_null() || !is_active(groups)) return;
  const auto damaged = [&] { raise<CheckpointError>("{} does not hold the state of parallel.placement", path); };
  try {
    const auto ranks = saved.at("ranks").get<int64_t>();
    const Json& layers = saved.at("layers");
    if (ranks < 1 || layers.size() != model.moe_layers().size()) damaged();
    bool complete = true;  // what the next choice needs was measured
    for (size_t i = 0; i < layers.size(); ++i) {
      MoELayer& layer = *model.moe_layers()[i];
      const auto rank_of = layers[i].at("rank_of_expert").get<std::vector<int32_t>>();
      const bool fits = std::ssize(rank_of) == layer.num_experts() && ranks <= layer.num_experts();
      if (!fits || !ExpertMap::fits(rank_of, ranks)) damaged();
      const ExpertMap map(rank_of, ranks);
      const std::optional<Replicas> copies = replicas_from(layers[i], map);
      if (!copies) damaged();
      if (ranks == groups.expert->size()) {
        layer.place(map);
        layer.replicate(*copies);
      }
      Measured& measured = layers_.emplace_back();
      complete &= layers[i].contains("rows") && (!counts_pairs() || layers[i].contains("pairs"));
      if (!complete) continue;
      measured.rows = layers[i].at("rows").get<std::vector<double>>();
      if (counts_pairs()) measured.pairs = layers[i].at("pairs").get<std::vector<double>>();
      const int64_t pairs = counts_pairs() ? num_pairs(layer.num_experts()) : 0;
      if (measured.rows.size() != rank_of.size() || std::ssize(measured.pairs) != pairs) damaged();
      if (!are_counts(measured.rows) || !are_counts(measured.pairs)) damaged();
    }
    updates_ = saved.at("updates").get<int64_t>();
    if (!complete) forget();
  } catch (const JsonError&) {
    damaged();
  }
}

}  // namespace moe
