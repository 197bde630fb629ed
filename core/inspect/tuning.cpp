#include "core/inspect/tuning.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <system_error>
#include <utility>

#include "core/base/check.h"
#include "core/base/integer.h"
#include "core/base/json_text.h"
#include "core/base/text.h"
#include "core/checkpoint/files.h"

namespace moe {
namespace {

constexpr const char* kEdges[] = {"none", "lowest", "highest"};

SweptSize size_from(const Json& json) {
  SweptSize size{
      .name = json.at("name").get<std::string>(), .width = json.at("width").get<double>(), .values = {}, .optimum = {}};
  for (const Json& value : json.at("values")) {
    const Json& quality = value.at("quality");
    size.values.push_back({value.at("value").get<double>(),
                           quality.is_null() ? std::numeric_limits<double>::infinity() : quality.get<double>()});
  }
  if (size.values.empty()) throw JsonError("a sweep without values");
  size.optimum = find_optimum(size.values);
  return size;
}

Json json_of(const SweptSize& size) {
  std::vector<Json> values;
  for (const SweptValue& v : size.values) values.push_back({{"value", v.value}, {"quality", v.quality}});
  return {{"name", size.name},         {"width", size.width},           {"values", Json(values)},
          {"best", size.optimum.best}, {"optimum", size.optimum.value}, {"edge", kEdges[as_index(size.optimum.edge)]}};
}

// The value of a key in a configuration, if it is a number.
std::optional<double> number_of(const TunedConfig& config, const std::string& key) {
  const auto it = config.values.find(key);
  if (it == config.values.end()) return std::nullopt;
  const std::string& text = it->second;
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::string text_of(const SweptSize& size) {
  std::vector<std::string> tried;
  for (const SweptValue& v : size.values) {
    tried.push_back(std::isinf(v.quality) ? fmt::format("{:.4g}: diverged", v.value)
                                          : fmt::format("{:.4g}: {:.4f}", v.value, v.quality));
  }
  const std::string optimum =
      size.optimum.edge == SweepEdge::none
          ? fmt::format("optimum {:.3g}", size.optimum.value)
          : fmt::format("the {} value is the best: try others beyond", kEdges[as_index(size.optimum.edge)]);
  return fmt::format("  {} (width {:.0f})  {}  {}\n", size.name, size.width, join(tried, ", "), optimum);
}

}  // namespace

Optimum find_optimum(std::span<const SweptValue> values) {
  MOE_CHECK(!values.empty(), "a sweep without values");
  const auto best = std::min_element(values.begin(), values.end(),
                                     [](const SweptValue& a, const SweptValue& b) { return a.quality < b.quality; });
  Optimum result{.best = best->value};
  if (best == values.begin() || best + 1 == values.end()) {
    result.edge = best == values.begin() ? SweepEdge::lowest : SweepEdge::highest;
    return result;
  }
  result.value = best->value;
  // The vertex of the parabola through three points, relative to the middle one.
  const double left = std::log((best - 1)->value / best->value), right = std::log((best + 1)->value / best->value);
  const double left_rise = (best - 1)->quality - best->quality, right_rise = (best + 1)->quality - best->quality;
  const double divisor = 2 * (left * right_rise - right * left_rise);
  if (!std::isfinite(left_rise) || !std::isfinite(right_rise) || divisor == 0) return result;
  result.value = best->value * std::exp((left * left * right_rise - right * right * left_rise) / divisor);
  return result;
}

double width_exponent(double width, double optimum, double other_width, double other_optimum) {
  return -std::log(other_optimum / optimum) / std::log(other_width / width);
}

std::vector<Sweep> read_tuning(const std::string& file) {
  std::vector<Sweep> sweeps;
  try {
    const Json tuning = parse_json(read_text(file));
    for (const Json& entry : tuning.at("sweeps")) {
      Sweep sweep{.config = entry.at("config").get<std::string>(),
                  .key = entry.at("key").get<std::string>(),
                  .sizes = {},
                  .exponent = std::nullopt,
                  .check = std::nullopt};
      for (const Json& size : entry.at("sizes")) sweep.sizes.push_back(size_from(size));
      if (const Json* exponent = entry.find("exponent")) sweep.exponent = exponent->get<double>();
      if (const Json* check = entry.find("check")) {
        sweep.check = {.size = size_from(*check),
                       .predicted = check->at("predicted").get<double>(),
                       .holds = check->at("holds").get<bool>()};
      }
      sweeps.push_back(std::move(sweep));
    }
  } catch (const JsonError& error) {
    raise<CheckpointError>("{} is damaged: {}", file, error.what());
  }
  return sweeps;
}

Json tuning_json(std::span<const Sweep> sweeps) {
  std::vector<Json> entries;
  for (const Sweep& sweep : sweeps) {
    std::vector<Json> sizes;
    for (const SweptSize& size : sweep.sizes) sizes.push_back(json_of(size));
    Json entry{{"config", sweep.config}, {"key", sweep.key}, {"sizes", Json(sizes)}};
    if (sweep.exponent) entry["exponent"] = *sweep.exponent;
    if (sweep.check) {
      entry["check"] = json_of(sweep.check->size);
      entry["check"]["predicted"] = sweep.check->predicted;
      entry["check"]["holds"] = sweep.check->holds;
    }
    entries.push_back(std::move(entry));
  }
  return {{"sweeps", Json(entries)}};
}

std::string tuning_text(std::span<const Sweep> sweeps) {
  std::string text;
  for (const Sweep& sweep : sweeps) {
    text += fmt::format("{}: {}\n", sweep.config, sweep.key);
    for (const SweptSize& size : sweep.sizes) text += text_of(size);
    if (sweep.exponent) text += fmt::format("  proportional to width^{:.2f}\n", -*sweep.exponent);
    if (!sweep.check) continue;
    text += text_of(sweep.check->size);
    text += fmt::format("  {:.3g} was predicted there: {}\n", sweep.check->predicted,
                        sweep.check->holds ? "better than half and twice of it"
                                           : "half or twice of it is better, so the rule does not hold");
  }
  return text;
}

std::vector<std::string> tuning_notes(std::span<const Sweep> sweeps, std::span<const TunedConfig> configs) {
  std::vector<std::string> notes;
  for (const TunedConfig& config : configs) {
    bool is_tuned = false;
    for (const Sweep& sweep : sweeps) {
      if (sweep.config != config.name) continue;
      is_tuned = true;
      double low = std::numeric_limits<double>::infinity(), high = 0;
      for (const SweptSize& size : sweep.sizes) {
        low = std::min(low, size.values.front().value);
        high = std::max(high, size.values.back().value);
        if (size.optimum.edge == SweepEdge::none) continue;
        notes.push_back(
            fmt::format("{}: {} was best at the {} value of its sweep, {:.4g} (size {}): better ones may lie "
                        "beyond, and the comparison is to its disadvantage",
                        config.name, sweep.key, kEdges[as_index(size.optimum.edge)], size.optimum.best, size.name));
      }
      if (const auto value = number_of(config, sweep.key); value && (*value <= low || *value >= high)) {
        notes.push_back(fmt::format("{}: {} is {:.4g}, at or beyond the edge of its sweep from {:.4g} to {:.4g}",
                                    config.name, sweep.key, *value, low, high));
      }
    }
    if (!is_tuned && !sweeps.empty())
      notes.push_back(fmt::format("{}: no sweep of tune.json is about it", config.name));
  }
  return notes;
}

}  // namespace moe
