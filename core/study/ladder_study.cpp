#include "core/study/ladder_study.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "core/base/check.h"
#include "core/base/json_text.h"
#include "core/base/text.h"
#include "core/checkpoint/files.h"
#include "core/study/child_program.h"
#include "core/study/study.h"

namespace moe {
namespace {

class Ladder {
 public:
  explicit Ladder(const LadderOptions& options) : options_(options), folder_(options.compare.folder) {
    if (folder_.empty()) throw UsageError("no output folder; give -o DIR");
    if (options.compare.configs.empty()) throw UsageError("nothing to compare; give configurations");
    require_sizes(options.sizes);
    make_folder(folder_ + "/sizes");
  }

  int run() {
    {
      const auto claim = wait_for_claim(folder_, "setup");
      plan();
    }
    int code = 0;
    std::vector<const SizedStep*> open;
    for (const SizedStep& sized : sizes_) open.push_back(&sized);
    // First what no other process trains, at all sizes; then the rest, for which it waits.
    for (const bool waits : {false, true}) {
      if (waits && !options_.compare.waits) break;
      std::vector<const SizedStep*> left;
      for (const SizedStep* sized : open) {
        const CompareResult result = compare(*sized, waits);
        if (result.code >= 128 || result.code == static_cast<int>(ExitCode::usage)) return result.code;
        if (code == 0) code = result.code;
        if (!result.is_complete) left.push_back(sized);
      }
      open = left;
    }
    if (!open.empty()) return code;
    const int report = run_program({program_path("moe-inspect"), "ladder", folder_});
    return code != 0 ? code : report;
  }

 private:
  std::string size_file(const ModelSize& size) const { return folder_ + "/sizes/" + size.name + ".yaml"; }

  // Finds the cost of each size and its steps, and keeps them in DIR/ladder.json.
  void plan() {
    const std::string file = folder_ + "/ladder.json";
    const Json before = file_exists(file) ? parse_json_or_null(read_text(file)) : Json();
    if (before.is_object()) require_same(before);
    for (const ModelSize& size : options_.sizes) sizes_.push_back(measure(size));
    if (!options_.fixed_steps) {
      const auto smallest = std::min_element(sizes_.begin(), sizes_.end(), [](const SizedStep& a, const SizedStep& b) {
        return a.active_parameters < b.active_parameters;
      });
      ratio_ = options_.tokens_per_parameter;
      if (ratio_ == 0 && before.is_object()) ratio_ = before.value("tokens_per_active_parameter", 0.0);
      if (ratio_ == 0) ratio_ = smallest->tokens() / static_cast<double>(smallest->active_parameters);
      set_steps(sizes_, ratio_);
    }
    std::stable_sort(sizes_.begin(), sizes_.end(),
                     [](const SizedStep& a, const SizedStep& b) { return a.flops() < b.flops(); });
    write(file, before);
  }

  // A ladder goes on with the same rule of steps, and a size keeps its settings.
  void require_same(const Json& before) const try {
    const double ratio = before.at("tokens_per_active_parameter").get<double>();
    const double wanted = options_.fixed_steps ? 0 : options_.tokens_per_parameter;
    if ((ratio == 0) != options_.fixed_steps || (wanted > 0 && wanted != ratio)) {
      raise<UsageError>(
          "{} has {}; give another folder for another rule of steps", folder_,
          ratio == 0 ? "the configured steps at every size" : fmt::format("{:.6g} tokens per active parameter", ratio));
    }
    for (const Json& size : before.at("sizes")) {
      for (const ModelSize& now : options_.sizes) {
        const auto settings = size.at("settings").get<std::vector<std::string>>();
        if (now.name == size.at("name").get<std::string>() && now.settings != settings) {
          raise<UsageError>("{}: the size {} was {}, and is {} now; give it another name", folder_, now.name,
                            join(settings, ","), join(now.settings, ","));
        }
      }
    }
  } catch (const JsonError& error) {
    raise<CheckpointError>("{}/ladder.json is damaged: {}", folder_, error.what());
  }

  // Builds every configuration at this size, so that mistakes are found before training, and returns the first one's
  // cost.
  SizedStep measure(const ModelSize& size) const {
    replace_shared_text(size_file(size), "# Made by scripts/ladder.\n" + yaml_of(size.settings));
    ConfigCost cost;
    for (size_t i = 0; i < options_.compare.configs.size(); ++i) {
      const StudyConfig& config = options_.compare.configs[i];
      ConfigLayers layers{options_.compare.base, options_.compare.settings};
      layers.files.push_back(size_file(size));
      layers.files.insert(layers.files.end(), config.layers.files.begin(), config.layers.files.end());
      const ConfigCost found = cost_of(layers.read());
      if (i == 0) cost = found;
    }
    return {.size = size,
            .steps = cost.steps,
            .tokens_per_step = cost.tokens_per_step,
            .flops_per_token = cost.flops_per_token,
            .active_parameters = cost.active_parameters,
            .parameters = cost.parameters};
  }

  // Sizes of earlier calls stay in the file.
  void write(const std::string& file, const Json& before) const {
    std::vector<Json> entries;
    if (before.is_object()) {
      for (const Json& size : before.at("sizes")) {
        const std::string name = size.at("name").get<std::string>();
        const bool is_again =
            std::any_of(sizes_.begin(), sizes_.end(), [&](const SizedStep& s) { return s.size.name == name; });
        if (!is_again) entries.push_back(size);
      }
    }
    for (const SizedStep& s : sizes_) {
      entries.push_back({{"name", s.size.name},
                         {"settings", s.size.settings},
                         {"steps", s.steps},
                         {"tokens_per_step", s.tokens_per_step},
                         {"flops_per_token", s.flops_per_token},
                         {"parameters", s.parameters},
                         {"active_parameters", s.active_parameters},
                         {"flops", s.flops()}});
    }
    std::stable_sort(entries.begin(), entries.end(), [](const Json& a, const Json& b) {
      return a.at("flops").get<double>() < b.at("flops").get<double>();
    });
    replace_shared_text(
        file, json_text_replacing({{"tokens_per_active_parameter", ratio_}, {"sizes", Json(entries)}}, 1) + "\n");
  }

  CompareResult compare(const SizedStep& sized, bool waits) const {
    say(fmt::format("size {}: {} active parameters, {} steps, {:.3g} FLOPs per run", sized.size.name,
                    sized.active_parameters, sized.steps, sized.flops()));
    CompareOptions compare = options_.compare;
    compare.folder = folder_ + "/" + sized.size.name;
    compare.base.push_back(size_file(sized.size));
    if (!options_.fixed_steps) compare.settings.push_back(fmt::format("train.steps={}", sized.steps));
    make_folder(compare.folder);
    compare.report = compare.folder + "/compare.txt";
    compare.waits = waits;
    return run_compare(compare);
  }

  const LadderOptions& options_;
  const std::string folder_;
  std::vector<SizedStep> sizes_;  // the cheapest first
  double ratio_ = 0;              // tokens per active parameter; 0: as configured
};

}  // namespace

void set_steps(std::vector<SizedStep>& sizes, double ratio) {
  for (SizedStep& s : sizes) {
    s.steps = std::max<int64_t>(1, std::llround(ratio * static_cast<double>(s.active_parameters) / s.tokens_per_step));
  }
}

int run_ladder(const LadderOptions& options) {
  return Ladder(options).run();
}

}  // namespace moe
