#include "core/inspect/layer_stats.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/base/integer.h"
#include "core/tensor/copy.h"

namespace moe {

std::string short_load(double relative) {
  if (relative == 0) return "0";
  if (relative < 0.005) return "~0";
  if (relative < 0.095) return fmt::format("{:.2f}", relative).substr(1);
  return relative < 9.95 ? fmt::format("{:.1f}", relative) : fmt::format("{:.0f}", relative);
}

static std::vector<double> shares(std::span<const double> sums) {
  const double total = std::accumulate(sums.begin(), sums.end(), 0.0);
  std::vector<double> result(sums.begin(), sums.end());
  for (double& x : result) x = total > 0 ? x / total : 0;
  return result;
}

LayerStats layer_stats(int layer, const LoadStats& sums) {
  LayerStats s;
  s.layer = layer;
  s.load = shares(sums.counts);
  s.importance = shares(sums.importance);
  s.probability = shares(sums.probability);
  s.by_modality = sums.modality_shares();
  s.assignments = sums.assignments();
  s.dropped_share = sums.dropped_share();
  for (const double rows : sums.dropped) s.dropped.push_back(s.assignments > 0 ? rows / s.assignments : 0);
  s.tokens = sums.tokens();
  s.dead = sums.dead();
  const auto experts = static_cast<double>(s.load.size());
  if (s.assignments == 0) return s;

  double entropy = 0, squares = 0;
  for (size_t e = 0; e < s.load.size(); ++e) {
    const double share = s.load[e], relative = s.relative_load(e);
    if (share > 0) entropy -= share * std::log(share);
    squares += (relative - 1) * (relative - 1);
    s.nearly_dead += share > 0 && relative < LayerStats::kNearlyDead;
  }
  s.variation = std::sqrt(squares / experts);
  s.max_over_mean = *std::max_element(s.load.begin(), s.load.end()) * experts;
  s.min_over_mean = *std::min_element(s.load.begin(), s.load.end()) * experts;
  if (s.load.size() > 1) {
    s.load_entropy = entropy / std::log(experts);
    s.router_entropy = sums.mean_entropy() / std::log(experts);
  }
  return s;
}

static double element(ConstTensor t, int64_t i) {
  if (t.dtype == DType::bf16) return static_cast<double>(to_float(t.as<BFloat16>()[i]));
  return t.dtype == DType::f64 ? t.as<double>()[i] : static_cast<double>(t.as<float>()[i]);
}

// Writes the norms of the entries of dimension 0 to `norms`: entry r to index `places[r]`, or r without places.
static void row_norms(Context& ctx, std::vector<double>& norms, const std::vector<int64_t>& places, ConstTensor t) {
  std::vector<char> buffer;
  const int64_t rows = t.dim(0), width = t.size() / std::max<int64_t>(rows, 1);
  for (int64_t r = 0; r < rows; ++r) {
    const ConstTensor row = on_host(ctx, t.slice(r, 1), buffer);
    double squares = 0;
    for (int64_t i = 0; i < width; ++i) squares += element(row, i) * element(row, i);
    norms[as_index(places.empty() ? r : places[as_index(r)])] = std::sqrt(squares);
  }
}

WeightNorms weight_norms(Context& ctx, const ParameterStore& parameters, const MoELayer& layer,
                         const ProcessGroups& groups) {
  const auto n = static_cast<size_t>(layer.num_experts());
  WeightNorms norms;
  if (const Parameter* rows = layer.traits().expert_rows) {
    norms.router.resize(n);
    row_norms(ctx, norms.router, {}, rows->value);
  }
  for (const Parameter& p : parameters.parameters()) {
    if (p.place.layer != layer.layer()) continue;
    for (const auto& [part, list] : {std::pair{FeedForwardPart::input_weight, &norms.input},
                                     std::pair{FeedForwardPart::output_weight, &norms.output}}) {
      if (p.place.role != ParameterRole::expert || p.place.part != part) continue;
      list->assign(n, 0.0);
      row_norms(ctx, *list, p.experts, p.value);
      groups.expert->all_reduce_sum(as_tensor(*list));
    }
  }
  return norms;
}

}  // namespace moe
