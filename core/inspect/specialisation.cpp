#include "core/inspect/specialisation.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <utility>

#include "core/base/integer.h"
#include "core/base/philox.h"

namespace moe {
namespace {

constexpr uint64_t kPermutationSeed = 1;  // fixed, so that reports of one run agree

// The experts of one token.
std::span<const int32_t> chosen_by(const LayerTrace& layer, size_t token) {
  const auto slots = as_index(layer.slots);
  return std::span(layer.chosen).subspan(token * slots, slots);
}

// Mean over keys of the largest share of a key's tokens that one expert gets. A key below 0 is left out.
double specialisation_by(const std::vector<int64_t>& keys, const std::vector<size_t>& order, const LayerTrace& layer) {
  struct OfKey {
    double tokens = 0;
    std::vector<double> counts;
  };
  std::map<int64_t, OfKey> by_key;
  for (size_t t = 0; t < order.size(); ++t) {
    if (keys[t] < 0) continue;
    OfKey& of_key = by_key[keys[t]];
    of_key.counts.resize(as_index(layer.experts));
    of_key.tokens += 1;
    for (const int32_t expert : chosen_by(layer, order[t])) {
      if (expert != kNoExpert) of_key.counts[as_index(expert)] += 1;
    }
  }
  double sum = 0, number = 0;
  for (const auto& [key, of_key] : by_key) {
    if (of_key.tokens < LayerSpecialisation::kFewestTokens) continue;
    sum += *std::max_element(of_key.counts.begin(), of_key.counts.end()) / of_key.tokens;
    number += 1;
  }
  return number > 0 ? sum / number : std::numeric_limits<double>::quiet_NaN();
}

ChanceFigure figure_by(const std::vector<int64_t>& keys, const LayerTrace& layer, uint32_t stream) {
  if (keys.empty()) return {};
  std::vector<size_t> same(keys.size());
  std::iota(same.begin(), same.end(), size_t{0});
  // Only tokens with a key change places, so that its choices are those of others with a key.
  std::vector<size_t> with_key, order = same;
  for (const size_t t : same) {
    if (keys[t] >= 0) with_key.push_back(t);
  }
  const std::vector<size_t> mixed = token_permutation(with_key.size(), stream);
  for (size_t i = 0; i < with_key.size(); ++i) order[with_key[i]] = with_key[mixed[i]];
  return {specialisation_by(keys, same, layer), specialisation_by(keys, order, layer)};
}

// N(a, b) / N(a) for choices (tokens, slots).
std::vector<std::vector<double>> coactivations(const LayerTrace& layer, const std::vector<int32_t>& chosen) {
  const auto experts = as_index(layer.experts), slots = as_index(layer.slots);
  std::vector<std::vector<double>> pairs(experts, std::vector<double>(experts));
  for (size_t token = 0; token < chosen.size(); token += slots) {
    for (size_t i = token; i < token + slots; ++i) {
      if (chosen[i] == kNoExpert) continue;
      for (size_t j = token; j < token + slots; ++j) {
        if (chosen[j] != kNoExpert) pairs[as_index(chosen[i])][as_index(chosen[j])] += 1;
      }
    }
  }
  for (size_t a = 0; a < experts; ++a) {
    const double alone = pairs[a][a];
    for (double& pair : pairs[a]) pair /= std::max(alone, 1.0);
  }
  return pairs;
}

// Choices that were exchanged at random between tokens, so that each token keeps its number of experts, all different,
// and each expert its load. Permuting the tokens of each slot would not do: slots are sorted, and a token would get an
// expert twice.
std::vector<int32_t> exchanged(const LayerTrace& layer) {
  constexpr size_t kAttemptsPerChoice = 8;
  std::vector<int32_t> chosen = layer.chosen;
  const auto slots = as_index(layer.slots);
  const RandomKey key{.seed = kPermutationSeed, .purpose = RandomPurpose::sampling, .stream = 100, .step = 0};
  const auto has = [&](size_t place, int32_t expert) {
    const auto token = chosen.begin() + static_cast<std::ptrdiff_t>(place / slots * slots);
    return std::find(token, token + layer.slots, expert) != token + layer.slots;
  };
  for (size_t attempt = 0; attempt < kAttemptsPerChoice * chosen.size(); ++attempt) {
    const size_t a = key.bits(2 * attempt) % chosen.size(), b = key.bits(2 * attempt + 1) % chosen.size();
    if (chosen[a] == kNoExpert || chosen[b] == kNoExpert || has(a, chosen[b]) || has(b, chosen[a])) continue;
    std::swap(chosen[a], chosen[b]);
  }
  return chosen;
}

// Mean over the experts with tokens of the largest co-activation with another one.
double mean_of_largest(const std::vector<std::vector<double>>& pairs) {
  double sum = 0, experts = 0;
  for (size_t a = 0; a < pairs.size(); ++a) {
    if (pairs[a][a] == 0) continue;
    double largest = 0;
    for (size_t b = 0; b < pairs.size(); ++b) {
      if (a != b) largest = std::max(largest, pairs[a][b]);
    }
    sum += largest;
    experts += 1;
  }
  return experts > 0 ? sum / experts : std::numeric_limits<double>::quiet_NaN();
}

void add_coactivation(LayerSpecialisation& result, const LayerTrace& layer) {
  if (layer.slots == 0) return;
  result.coactivation_of = coactivations(layer, layer.chosen);
  if (layer.slots == 1) return;  // one expert per token: none go together
  result.coactivation = {mean_of_largest(result.coactivation_of),
                         mean_of_largest(coactivations(layer, exchanged(layer)))};
}

// Mean over tokens of the margin between the probabilities of the chosen experts and of the others, where token t has
// the choices of order[t].
double margin(const LayerTrace& layer, const std::vector<size_t>& order) {
  const auto experts = as_index(layer.experts);
  double sum = 0, tokens = 0;
  std::vector<bool> is_chosen(experts);
  for (size_t t = 0; t < order.size(); ++t) {
    const std::span<const float> logits = std::span(layer.logits).subspan(t * experts, experts);
    is_chosen.assign(experts, false);
    for (const int32_t expert : chosen_by(layer, order[t])) {
      if (expert != kNoExpert) is_chosen[as_index(expert)] = true;
    }
    const double most = *std::max_element(logits.begin(), logits.end());
    double total = 0, smallest = 2, largest = -1;
    for (size_t e = 0; e < experts; ++e) {
      const double p = std::exp(static_cast<double>(logits[e]) - most);
      total += p;
      (is_chosen[e] ? smallest : largest) = is_chosen[e] ? std::min(smallest, p) : std::max(largest, p);
    }
    if (smallest > 1 || largest < 0 || !std::isfinite(total)) continue;  // none is chosen, or all are
    sum += (smallest - largest) / total;
    tokens += 1;
  }
  return tokens > 0 ? sum / tokens : std::numeric_limits<double>::quiet_NaN();
}

// Each expert's share of values that its assignments have.
std::vector<double> shares(const std::vector<int32_t>& experts, const std::vector<double>& values, int64_t number) {
  std::vector<double> result(as_index(number));
  const double total = std::accumulate(values.begin(), values.end(), 0.0);
  for (size_t i = 0; i < experts.size(); ++i) result[as_index(experts[i])] += values[i];
  for (double& share : result) share /= total != 0 ? total : 1;
  return result;
}

double distance(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += std::abs(a[i] - b[i]) / 2;
  return sum;
}

// The load of each part, where token t has the choices of order[t].
std::vector<std::vector<double>> loads_of_parts(const StepTrace& trace, const LayerTrace& layer,
                                                const std::vector<size_t>& order) {
  std::vector<std::vector<double>> loads(2, std::vector<double>(as_index(layer.experts)));
  double assignments[2] = {0, 0};
  for (size_t t = 0; t < order.size(); ++t) {
    const auto part = as_index(trace.parts[t]);
    for (const int32_t expert : chosen_by(layer, order[t])) {
      if (expert != kNoExpert) loads[part][as_index(expert)] += 1, assignments[part] += 1;
    }
  }
  for (size_t part = 0; part < 2; ++part) {
    for (double& share : loads[part]) share /= std::max(assignments[part], 1.0);
  }
  return loads;
}

void add_retrieved(LayerSpecialisation& result, const StepTrace& trace, const LayerTrace& layer) {
  if (trace.parts.empty()) return;
  std::vector<size_t> same(trace.parts.size());
  std::iota(same.begin(), same.end(), size_t{0});
  result.load_of_part = loads_of_parts(trace, layer, same);
  const auto mixed = loads_of_parts(trace, layer, token_permutation(same.size(), 8));
  result.retrieved = {distance(result.load_of_part[0], result.load_of_part[1]), distance(mixed[0], mixed[1])};
}

void add_gate(LayerSpecialisation& result, const LayerTrace& layer) {
  std::vector<int32_t> experts;
  std::vector<double> weights;
  for (size_t i = 0; i < layer.chosen.size(); ++i) {
    if (layer.chosen[i] == kNoExpert) continue;
    experts.push_back(layer.chosen[i]);
    weights.push_back(static_cast<double>(layer.weights[i]));
  }
  result.load = shares(experts, std::vector<double>(experts.size(), 1.0), layer.experts);
  result.gate_mass = shares(experts, weights, layer.experts);
  if (experts.empty()) return;
  const std::vector<size_t> order = token_permutation(weights.size(), 200);
  std::vector<double> mixed(weights.size());
  for (size_t i = 0; i < order.size(); ++i) mixed[i] = weights[order[i]];
  result.gate = {distance(result.gate_mass, result.load), distance(shares(experts, mixed, layer.experts), result.load)};
}

template <class T>
std::vector<int64_t> as_keys(const std::vector<T>& values) {
  return {values.begin(), values.end()};
}

constexpr SpecialisationFigure kFigures[] = {
    {"input", "input", "by input id", &LayerSpecialisation::input},
    {"next", "next", "by next id", &LayerSpecialisation::next},
    {"position", "position", "by position", &LayerSpecialisation::position},
    {"source", "source", "by source file", &LayerSpecialisation::source},
    {"label", "class", "by class", &LayerSpecialisation::label},
    {"retrieved", "prefix", "retrieved prefix against window", &LayerSpecialisation::retrieved},
    {"coactivation", "pairs", "largest co-activation", &LayerSpecialisation::coactivation},
    {"margin", "margin", "margin", &LayerSpecialisation::margin},
    {"gate", "gate", "gate against load", &LayerSpecialisation::gate},
    {"similarity", "CKA", "similarity of outputs", &LayerSpecialisation::similarity},
};

}  // namespace

std::vector<size_t> token_permutation(size_t n, uint32_t stream) {
  const RandomKey key{.seed = kPermutationSeed, .purpose = RandomPurpose::sampling, .stream = stream, .step = 0};
  std::vector<size_t> order(n);
  std::iota(order.begin(), order.end(), size_t{0});
  for (size_t i = n; i > 1; --i) std::swap(order[i - 1], order[key.bits(i) % i]);
  return order;
}

std::span<const SpecialisationFigure> specialisation_figures() {
  return kFigures;
}

LayerSpecialisation specialisation_of(const StepTrace& trace, const LayerTrace& layer) {
  LayerSpecialisation result;
  result.block = layer.block;
  const auto tokens = as_index(trace.tokens());
  result.input = figure_by(as_keys(trace.ids), layer, 0);
  result.next = figure_by(as_keys(trace.next), layer, 1);
  std::vector<int64_t> ranges = as_keys(trace.positions);
  const int64_t sequence = std::max<int64_t>(trace.facts.sequence, 1);
  for (int64_t& p : ranges) p = p * LayerSpecialisation::kPositionRanges / sequence;
  result.position = figure_by(ranges, layer, 2);
  result.source = figure_by(as_keys(trace.sources), layer, 3);
  result.label = figure_by(as_keys(trace.labels), layer, 7);
  add_retrieved(result, trace, layer);
  add_coactivation(result, layer);
  if (!layer.logits.empty()) {
    std::vector<size_t> same(tokens);
    std::iota(same.begin(), same.end(), size_t{0});
    result.margin = {margin(layer, same), margin(layer, token_permutation(tokens, 4))};
  }
  add_gate(result, layer);
  return result;
}

// The tokens that two traces have in common, as pairs of their rows.
static std::vector<std::pair<size_t, size_t>> common_tokens(const StepTrace& a, const StepTrace& b) {
  std::map<std::pair<int32_t, int32_t>, size_t> rows;
  for (size_t t = 0; t < b.positions.size(); ++t) rows[{b.samples[t], b.positions[t]}] = t;
  std::vector<std::pair<size_t, size_t>> common;
  for (size_t t = 0; t < a.positions.size(); ++t) {
    const auto found = rows.find({a.samples[t], a.positions[t]});
    if (found != rows.end()) common.emplace_back(t, found->second);
  }
  return common;
}

// Mean over pairs of tokens of the share of the last step's experts that the earlier step chose too; order[i] is the
// pair whose earlier choices pair i gets.
static double overlap(const LayerTrace& layer, const LayerTrace& last,
                      const std::vector<std::pair<size_t, size_t>>& common, const std::vector<size_t>& order) {
  double sum = 0, tokens = 0;
  for (size_t i = 0; i < common.size(); ++i) {
    const auto before = chosen_by(layer, common[order[i]].first), then = chosen_by(last, common[i].second);
    double both = 0, all = 0;
    for (const int32_t expert : then) {
      if (expert == kNoExpert) continue;
      all += 1;
      both += std::find(before.begin(), before.end(), expert) != before.end();
    }
    if (all == 0) continue;
    sum += both / all;
    tokens += 1;
  }
  return tokens > 0 ? sum / tokens : std::numeric_limits<double>::quiet_NaN();
}

SaturationPoint saturation_of(const StepTrace& trace, const StepTrace& last) {
  SaturationPoint point{.step = trace.facts.step, .layers = {}};
  const auto common = common_tokens(trace, last);
  std::vector<size_t> same(common.size());
  std::iota(same.begin(), same.end(), size_t{0});
  const std::vector<size_t> mixed = token_permutation(common.size(), 5);
  for (const LayerTrace& final_layer : last.layers) {
    const auto layer = std::find_if(trace.layers.begin(), trace.layers.end(), [&](const LayerTrace& l) {
      return l.block == final_layer.block && l.experts == final_layer.experts;
    });
    point.layers.push_back(layer == trace.layers.end() ? ChanceFigure{}
                                                       : ChanceFigure{overlap(*layer, final_layer, common, same),
                                                                      overlap(*layer, final_layer, common, mixed)});
  }
  return point;
}

std::vector<SaturationPoint> router_saturation(const std::string& run) {
  const std::vector<int64_t> steps = traced_steps(run, "validation");
  const int64_t number = std::ssize(steps);
  if (number < 2) return {};
  const StepTrace last = StepTraceFile(trace_path(run, "validation", steps.back())).all();
  std::vector<SaturationPoint> points;
  const int64_t shown = std::min(number, kMostSaturationSteps);
  for (int64_t i = 0; i < shown; ++i) {
    const int64_t step = steps[as_index(i * (number - 1) / (shown - 1))];
    points.push_back(saturation_of(StepTraceFile(trace_path(run, "validation", step)).all(), last));
  }
  return points;
}

double effective_share(const std::vector<double>& load) {
  double entropy = 0;
  for (const double share : load) {
    if (share > 0) entropy -= share * std::log(share);
  }
  return load.empty() ? 0 : std::exp(entropy) / static_cast<double>(load.size());
}

}  // namespace moe
