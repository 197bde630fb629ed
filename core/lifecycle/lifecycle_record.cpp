#include "core/lifecycle/lifecycle_record.h"

#include <algorithm>
#include <cmath>

#include "core/base/json.h"
#include "core/base/metric_keys.h"
#include "core/base/text.h"

namespace moe {

static constexpr double kRounding = 1e-6;    // relative tolerance for a loss
static constexpr size_t kMostDescribed = 8;  // experts of a layer printed on the console
static constexpr size_t kMostListed = 4096;  // experts of a layer listed in metrics.jsonl

static bool equal_losses(double before, double after) {
  return std::abs(after - before) <= kRounding * std::max(1.0, std::abs(before));
}

bool ChangeOutcome::preserved() const {
  return loss_before && loss_after ? equal_losses(*loss_before, *loss_after) : why.empty();
}

std::string why_changed(const ExpertChange& change, const Model& model) {
  for (size_t layer = 0; layer < change.mappings.size(); ++layer) {
    const ExpertMapping& mapping = change.mappings[layer];
    if (mapping.is_identity()) continue;
    const int64_t copies = mapping.uniform_copies();
    const double factor = change.after[layer].k_factor / change.before[layer].k_factor;
    if (copies > 0 && factor == static_cast<double>(copies)) {
      if (std::string why = model.moe_layers()[layer]->traits().unlike_copies; !why.empty()) return why;
      continue;
    }
    if (change.kind == "grow" && (change.noise > 0 || change.router_noise > 0)) return "noise was added to the copies";
    if (change.kind == "grow") return "copies compete with their originals for the same places";
    if (change.kind == "restart") return "the copies are used, and have noise";
    if (change.kind == "merge") return "different experts were merged";
    return "tokens that chose a removed expert choose another";
  }
  return "";
}

// "5 <- 2" for a copy or a restart, "3 <- 3*0.8 + 7*0.2" for a merger; empty for an unchanged expert.
static std::string origin_of(size_t expert, const MappedExpert& mapped) {
  if (mapped.origins.size() == 1) return fmt::format("{} <- {}", expert, mapped.origins[0].expert);
  std::vector<std::string> parts;
  for (const auto& [e, weight] : mapped.origins) parts.push_back(fmt::format("{}*{:.3g}", e, weight));
  return fmt::format("{} <- {}", expert, join(parts, " + "));
}

// Old experts of which no copy is left.
static std::vector<int64_t> gone(const ExpertMapping& mapping) {
  const std::vector<int64_t> copies = mapping.copies();
  std::vector<int64_t> result;
  for (size_t e = 0; e < copies.size(); ++e) {
    if (copies[e] == 0) result.push_back(static_cast<int64_t>(e));
  }
  return result;
}

// New experts that are not simply one old expert at another index: the ones that an event has created or changed.
static std::vector<size_t> made(const ExpertMapping& mapping) {
  std::vector<size_t> result;
  std::vector<bool> seen(static_cast<size_t>(mapping.before));
  for (size_t e = 0; e < mapping.experts.size(); ++e) {
    const MappedExpert& expert = mapping.experts[e];
    const bool alone = expert.origins.size() == 1;
    const auto first = static_cast<size_t>(expert.origins[0].expert);
    if (!alone || expert.noisy || expert.gradient_scale == 0 || seen[first]) result.push_back(e);
    if (alone) seen[first] = true;
  }
  return result;
}

// Describes the changes of a layer's experts for the console.
static std::string description(const ExpertMapping& mapping) {
  std::vector<std::string> parts;
  for (const size_t e : made(mapping)) parts.push_back(origin_of(e, mapping.experts[e]));
  // A restarted expert's old weights are gone too, but its index is enough to report.
  for (const int64_t e : mapping.before == mapping.after() ? std::vector<int64_t>{} : gone(mapping)) {
    parts.push_back(fmt::format("{} gone", e));
  }
  if (parts.size() > kMostDescribed) {
    const size_t more = parts.size() - kMostDescribed;
    parts.resize(kMostDescribed);
    parts.push_back(fmt::format("and {} more", more));
  }
  return join(parts, ", ");
}

std::vector<std::string> to_words(const ExpertChange& change, const ChangeOutcome& outcome, const Model& model,
                                  int64_t step) {
  std::string line = fmt::format("[lifecycle]  step {} | {}", step, change.kind);
  if (to_words(change.before) != to_words(change.after))
    line += fmt::format(" | {} -> {} experts", to_words(change.before), to_words(change.after));
  // k grows with the number of experts: by the same factor in all layers, or as near as whole numbers of experts allow.
  if (const double factor = change.after[0].k_factor / change.before[0].k_factor; factor != 1)
    line += fmt::format(" | k x {:.4g}", factor);
  if (outcome.loss_before && outcome.loss_after)
    line += fmt::format(" | loss {:.4f} -> {:.4f}", *outcome.loss_before, *outcome.loss_after);
  line += outcome.preserved() ? " | function preserved" : " | function not preserved";
  if (!outcome.preserved() && !outcome.why.empty()) line += ": " + outcome.why;
  std::vector<std::string> lines{line};
  for (size_t layer = 0; layer < change.mappings.size(); ++layer) {
    const ExpertMapping& mapping = change.mappings[layer];
    if (mapping.is_identity()) continue;
    lines.push_back(
        fmt::format("[lifecycle]  layer {} | {}", model.moe_layers()[layer]->layer(), description(mapping)));
  }
  return lines;
}

std::vector<Json> to_json(const ExpertChange& change, const ChangeOutcome& outcome, const Model& model) {
  std::vector<Json> records;
  for (size_t layer = 0; layer < change.mappings.size(); ++layer) {
    const ExpertMapping& mapping = change.mappings[layer];
    if (mapping.is_identity()) continue;
    Json experts = Json::array();
    for (const size_t e : made(mapping)) {
      if (experts.size() == kMostListed) break;
      Json from = Json::array();
      for (const auto& [origin, weight] : mapping.experts[e].origins) from.push_back({origin, weight});
      experts.push_back({{"expert", e}, {"from", from}});
    }
    Json record = {{metric_keys::kKind, change.kind},
                   {metric_keys::kLayer, model.moe_layers()[layer]->layer()},
                   {metric_keys::kExpertsBefore, change.before[layer].experts},
                   {metric_keys::kExpertsAfter, change.after[layer].experts},
                   {"k_factor", change.after[layer].k_factor},
                   {metric_keys::kWhat, description(mapping)},
                   {"experts", experts},
                   {"gone", gone(mapping)},
                   {"noise", change.noise},
                   {"router_noise", change.router_noise},
                   {metric_keys::kPreserved, outcome.preserved()}};
    if (!outcome.why.empty()) record[metric_keys::kWhy] = outcome.why;
    if (outcome.loss_before) record[metric_keys::kLossBefore] = *outcome.loss_before;
    if (outcome.loss_after) record[metric_keys::kLossAfter] = *outcome.loss_after;
    record["seconds"] = outcome.seconds;
    records.push_back(std::move(record));
  }
  return records;
}

void add_loss_after(Json& record, double loss, double seconds) {
  record[metric_keys::kPreserved] = equal_losses(record.at(metric_keys::kLossBefore), loss);
  record.erase("seconds");
  record[metric_keys::kLossAfter] = loss;
  record["seconds"] = seconds;
}

}  // namespace moe
