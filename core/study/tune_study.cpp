#include "core/study/tune_study.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <system_error>
#include <utility>

#include "core/base/check.h"
#include "core/base/json_text.h"
#include "core/base/text.h"
#include "core/checkpoint/files.h"
#include "core/inspect/comparison.h"
#include "core/inspect/tuning.h"
#include "core/study/child_program.h"
#include "core/study/grid.h"
#include "core/study/study.h"

namespace moe {
namespace {

// A value as it is set, and as a number.
struct TriedValue {
  std::string text;
  double value = 0;
};

struct TunedKey {
  std::string key;
  std::vector<TriedValue> values;  // ascending
};

TunedKey read_key(const std::string& text) {
  const GridKey grid = parse_grid_key(text);
  TunedKey key{grid.key, {}};
  for (const std::string& word : grid.values) {
    double value = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
    if (error != std::errc() || end != word.data() + word.size() || !(value > 0) || !std::isfinite(value))
      raise<UsageError>("{}: {} is not a positive number", grid.key, word);
    key.values.push_back({word, value});
  }
  std::sort(key.values.begin(), key.values.end(), [](const auto& a, const auto& b) { return a.value < b.value; });
  const auto same = std::adjacent_find(key.values.begin(), key.values.end(),
                                       [](const auto& a, const auto& b) { return a.value == b.value; });
  if (same != key.values.end()) raise<UsageError>("{}: {} is given twice", grid.key, same->text);
  if (key.values.size() < 3) raise<UsageError>("{}: a sweep needs at least three values", grid.key);
  return key;
}

// A size with its first configuration's width and cost.
struct TunedSize {
  ModelSize size;
  double width = 0, flops = 0;
};

// The runs of a size: the values of each configuration's key that are tried there.
using Tries = std::map<std::pair<std::string, std::string>, std::vector<TriedValue>>;  // by configuration and key

class Tune {
 public:
  explicit Tune(const TuneOptions& options) : options_(options), folder_(options.compare.folder) {
    if (folder_.empty()) throw UsageError("no output folder; give -o DIR");
    if (options.compare.configs.empty()) throw UsageError("nothing to tune; give configurations");
    if (options.sweeps.empty()) throw UsageError("nothing to try; give --sweep 'KEY=V1|V2|V3'");
    std::set<std::string> keys;
    for (const std::string& sweep : options.sweeps) {
      keys_.push_back(read_key(sweep));
      if (!keys.insert(keys_.back().key).second) raise<UsageError>("{} is swept twice", keys_.back().key);
    }
    require_sizes(options.sizes);
    if (options.sizes.size() < 2 || options.sizes.size() > 3)
      throw UsageError("give two sizes for the sweeps, and a third, larger one at which the result is checked");
    make_folder(folder_ + "/sizes");
    for (const ModelSize& size : options.sizes) sizes_.push_back(measure(size));
    std::stable_sort(sizes_.begin(), sizes_.end(),
                     [](const TunedSize& a, const TunedSize& b) { return a.flops < b.flops; });
    if (sizes_[0].width == sizes_[1].width) {
      raise<UsageError>("{} and {} have the same model.d_model: no rule for the width follows from them",
                        sizes_[0].size.name, sizes_[1].size.name);
    }
  }

  int run() {
    Tries tries;
    for (const StudyConfig& config : options_.compare.configs) {
      for (const TunedKey& key : keys_) tries[{config.name, key.key}] = key.values;
    }
    const std::vector<std::pair<const TunedSize*, const Tries*>> sweeps{{&sizes_[0], &tries}, {&sizes_[1], &tries}};
    if (const auto code = train(sweeps)) return *code;
    fit(tries);
    if (sizes_.size() == 3) {
      const Tries checks = predicted();
      if (!checks.empty()) {
        if (const auto code = train({{&sizes_[2], &checks}})) return *code;
        check(checks);
      }
    }
    replace_shared_text(folder_ + "/tune.json", json_text_replacing(tuning_json(sweeps_), 1) + "\n");
    fmt::print("{}", tuning_text(sweeps_));
    return 0;
  }

 private:
  std::string size_file(const ModelSize& size) const { return folder_ + "/sizes/" + size.name + ".yaml"; }

  TunedSize measure(const ModelSize& size) const {
    replace_shared_text(size_file(size), "# Made by scripts/tune.\n" + yaml_of(size.settings));
    ConfigLayers layers{options_.compare.base, options_.compare.settings};
    layers.files.push_back(size_file(size));
    for (const std::string& file : options_.compare.configs[0].layers.files) layers.files.push_back(file);
    const TrainConfig config = layers.read();
    const ConfigCost cost = cost_of(config);
    return {size, static_cast<double>(config.model.d_model),
            static_cast<double>(cost.steps) * cost.tokens_per_step * cost.flops_per_token};
  }

  static std::string try_name(const std::string& config, const std::string& key, const TriedValue& value) {
    return config + "," + name_of(Candidate{key + "=" + value.text});
  }

  // Trains the values at each size. An exit code if the program is to end: runs that diverge are a result.
  std::optional<int> train(std::vector<std::pair<const TunedSize*, const Tries*>> open) const {
    for (const bool waits : {false, true}) {
      if (waits && !options_.compare.waits) break;
      std::vector<std::pair<const TunedSize*, const Tries*>> left;
      for (const auto& [size, tries] : open) {
        say(fmt::format("size {}", size->size.name));
        const CompareResult result = run_compare(compare_options(*size, *tries, waits));
        if (result.code >= 128 || result.code == static_cast<int>(ExitCode::usage)) return result.code;
        if (!result.is_complete && result.code != 0) return result.code;
        if (!result.is_complete) left.emplace_back(size, tries);
      }
      open = left;
    }
    if (open.empty()) return std::nullopt;
    return 0;
  }

  CompareOptions compare_options(const TunedSize& size, const Tries& tries, bool waits) const {
    CompareOptions compare = options_.compare;
    compare.folder = folder_ + "/" + size.size.name;
    make_folder(compare.folder);
    compare.base.push_back(size_file(size.size));
    compare.report = compare.folder + "/compare.txt";
    compare.waits = waits;
    compare.configs.clear();
    for (const StudyConfig& config : options_.compare.configs) {
      for (const TunedKey& key : keys_) {
        const auto it = tries.find({config.name, key.key});
        if (it == tries.end()) continue;
        for (const TriedValue& value : it->second) {
          compare.configs.push_back(
              {try_name(config.name, key.key, value), config.layers.with({key.key + "=" + value.text})});
        }
      }
    }
    return compare;
  }

  // The qualities of one configuration's values at a size.
  SweptSize results(const TunedSize& size, const Comparison& comparison, const std::string& config,
                    const std::string& key, const std::vector<TriedValue>& values) const {
    SweptSize result{.name = size.size.name, .width = size.width, .values = {}, .optimum = {}};
    for (const TriedValue& value : values) {
      const std::string name = try_name(config, key, value);
      const auto it = std::find_if(comparison.configs.begin(), comparison.configs.end(),
                                   [&](const ComparedConfig& c) { return c.name == name; });
      if (it == comparison.configs.end())
        raise<CheckpointError>("{}/{}: no run of {} can be compared", folder_, size.size.name, name);
      result.values.push_back({value.value, it->diverged_seeds.empty() ? it->mean_of(&ComparedRun::quality)
                                                                       : std::numeric_limits<double>::infinity()});
    }
    result.optimum = find_optimum(result.values);
    return result;
  }

  Comparison compare(const TunedSize& size) const { return compare_folder(folder_ + "/" + size.size.name, {}); }

  void fit(const Tries& tries) {
    const Comparison small = compare(sizes_[0]), large = compare(sizes_[1]);
    for (const StudyConfig& config : options_.compare.configs) {
      for (const TunedKey& key : keys_) {
        const std::vector<TriedValue>& values = tries.at({config.name, key.key});
        Sweep sweep{.config = config.name,
                    .key = key.key,
                    .sizes = {results(sizes_[0], small, config.name, key.key, values),
                              results(sizes_[1], large, config.name, key.key, values)},
                    .exponent = std::nullopt,
                    .check = std::nullopt};
        const SweptSize &a = sweep.sizes[0], &b = sweep.sizes[1];
        if (a.optimum.edge == SweepEdge::none && b.optimum.edge == SweepEdge::none)
          sweep.exponent = width_exponent(a.width, a.optimum.value, b.width, b.optimum.value);
        sweeps_.push_back(std::move(sweep));
      }
    }
  }

  // What each fit predicts at the third size, with half and twice of it.
  Tries predicted() const {
    Tries checks;
    for (const Sweep& sweep : sweeps_) {
      if (!sweep.exponent) continue;
      const SweptSize& from = sweep.sizes[1];
      const double value = from.optimum.value * std::pow(sizes_[2].width / from.width, -*sweep.exponent);
      for (const double factor : {0.5, 1.0, 2.0}) {
        const std::string text = fmt::format("{:.3g}", value * factor);
        checks[{sweep.config, sweep.key}].push_back({text, std::stod(text)});
      }
    }
    return checks;
  }

  void check(const Tries& checks) {
    const Comparison comparison = compare(sizes_[2]);
    for (Sweep& sweep : sweeps_) {
      const auto it = checks.find({sweep.config, sweep.key});
      if (it == checks.end()) continue;
      SweptSize size = results(sizes_[2], comparison, sweep.config, sweep.key, it->second);
      const bool holds = size.optimum.edge == SweepEdge::none;
      sweep.check = {.size = std::move(size), .predicted = it->second[1].value, .holds = holds};
    }
  }

  const TuneOptions& options_;
  const std::string folder_;
  std::vector<TunedKey> keys_;
  std::vector<TunedSize> sizes_;  // the cheapest first
  std::vector<Sweep> sweeps_;
};

}  // namespace

int run_tune(const TuneOptions& options) {
  return Tune(options).run();
}

}  // namespace moe
