#include "core/initialise/initialise_run.h"

#include <algorithm>
#include <set>

#include "core/base/json.h"
#include "core/checkpoint/checkpoint.h"
#include "core/checkpoint/files.h"
#include "core/config/config_writer.h"
#include "core/initialise/perturbation.h"
#include "core/record/run_folder.h"

namespace moe {
namespace {

// Loads this rank's slice of batches of arbitrary samples.
class Batches {
 public:
  Batches(const TrainConfig& config, const ProcessGroups& groups, const Task& task)
      : batch_(config.train.batch), mine_(share_of(batch_, groups.world->size(), groups.world->rank())), task_(task) {}

  // sample_of(i) returns sample i of the batch.
  template <class SampleOf>
  LocalBatch load(SampleOf sample_of) {
    visits_.clear();
    for (int64_t i = 0; i < batch_; ++i) visits_.push_back({sample_of(i), 0});
    const SampleExtent extent = task_.extent(visits_);
    task_.load(std::span(visits_).subspan(static_cast<size_t>(mine_.begin), static_cast<size_t>(mine_.count)),
               extent.time, loaded_);
    LocalBatch batch = LocalBatch::of(loaded_, mine_.begin, batch_);
    batch.global_tokens = extent.tokens;
    batch.begins = true;
    return batch;
  }

 private:
  const int64_t batch_;
  const Share mine_;
  const Task& task_;
  std::vector<SampleVisit> visits_;
  Batch loaded_;
};

// Settings that the tensors' shapes do not determine.
struct Unseen {
  const char* key;
  std::string (*value)(const TrainConfig& config);
};
constexpr Unseen kUnseen[] = {
    {"model.activation", [](const TrainConfig& c) { return c.model.activation; }},
    {"model.norm_place", [](const TrainConfig& c) { return c.model.norm_place; }},
    {"model.norm_eps", [](const TrainConfig& c) { return fmt::format("{}", c.model.norm_eps); }},
    {"model.attention.position", [](const TrainConfig& c) { return c.model.attention.position; }},
    {"model.attention.rope_theta",
     [](const TrainConfig& c) { return fmt::format("{}", c.model.attention.rope_theta); }},
    {"model.attention.rope_scaling", [](const TrainConfig& c) { return options_text(c.model.attention.rope_scaling); }},
    {"model.attention.causal", [](const TrainConfig& c) { return fmt::format("{}", c.model.attention.causal); }},
    {"moe.router", [](const TrainConfig& c) { return c.moe.router.kind(); }},
};

std::vector<std::string> unseen_differences(const TrainConfig& here, const TrainConfig& there) {
  std::vector<std::string> result;
  for (const Unseen& u : kUnseen) {
    if (u.value(here) == u.value(there)) continue;
    result.push_back(fmt::format("{} {} (in init.from {})", u.key, u.value(here), u.value(there)));
  }
  return result;
}

// The run that init.from names.
struct SourceRun {
  TrainConfig config;
  bool keep_head = false;
};

SourceRun find_source(const TrainConfig& config, const Task& task) {
  const std::string checkpoint = find_checkpoint(config.init.from, config.init.checkpoint);
  SourceRun source{load_run_config(checkpoint)};
  const auto& starts_from = tasks().at(config.task).starts_from;
  if (source.config.task != config.task &&
      std::find(starts_from.begin(), starts_from.end(), source.config.task) == starts_from.end()) {
    raise<UsageError>("{}: {} was trained with task: {}; this run has task: {}", config.init.where("from"), checkpoint,
                      source.config.task, config.task);
  }
  source.keep_head = source.config.task == config.task &&
                     task.predicts_alike(read_description(source.config.task, checkpoint), checkpoint);
  if (source.keep_head) open_task(config, checkpoint);  // throws for samples of another kind
  return source;
}

StartReport from_other_run(TrainingState& state, const TrainConfig& config, const Task& task) {
  const SourceRun source = find_source(config, task);
  StartReport report = start_from(state, config, source.keep_head ? KeptParts::all : KeptParts::body);
  report.differences = unseen_differences(config, source.config);
  return report;
}

}  // namespace

void check_initialisation(const TrainConfig& config, const Task& task, const RunLength& run) {
  if (!config.init.from.empty()) find_source(config, task);
  check_clusters(config, task.shape(), run);
  const ReptileConfig& reptile = config.init.reptile;
  if (reptile.rounds > 0 && reptile.domains > task.num_samples()) {
    raise<UsageError>("{}: {} domains of {} samples; use at most one domain per sample", reptile.where("domains"),
                      reptile.domains, task.num_samples());
  }
}

RunInitialisation initialise_run(TrainingState& state, TrainStep& step, const TrainConfig& config,
                                 const ProcessGroups& groups, const Task& task) {
  const int64_t samples = task.num_samples(), domains = config.init.reptile.domains, batch = config.train.batch;
  const bool meta_learns = config.init.reptile.rounds > 0;
  RunInitialisation initialisation;
  if (!config.init.from.empty()) initialisation.from = from_other_run(state, config, task);
  Batches batches(config, groups, task);
  const auto seed = static_cast<uint64_t>(config.seed);
  const auto pick = [&](const RandomKey& key, int64_t number, int64_t begin, int64_t end) {
    const uint64_t bits = key.bits(static_cast<uint64_t>(number));
    return begin + static_cast<int64_t>(bits % static_cast<uint64_t>(end - begin));
  };
  if (config.init.clusters.tokens > 0) {
    const RandomKey key{seed, RandomPurpose::clusters, 0, ~uint64_t{0}};  // tensors' streams have smaller steps
    initialisation.clusters = start_from_clusters(
        state, config, groups, initialisation.from ? initialisation.from->upcycled : std::set<std::string>{},
        [&](int64_t index) {
          return batches.load([&](int64_t i) { return pick(key, index * batch + i, 0, samples); });
        });
  }
  if (meta_learns) {
    initialisation.reptile = start_by_reptile(state, step, config, [&](int64_t domain, int64_t index) {
      const RandomKey key{seed, RandomPurpose::reptile, 1, static_cast<uint64_t>(domain)};
      return batches.load([&](int64_t i) {
        return pick(key, index * batch + i, domain * samples / domains, (domain + 1) * samples / domains);
      });
    });
  }
  if (config.init.perturb > 0) {
    perturb(state, config.init.perturb, static_cast<uint64_t>(config.init.perturb_seed));
    initialisation.perturbation = config.init.perturb;
  }
  return initialisation;
}

std::vector<std::string> RunInitialisation::to_words() const {
  std::vector<std::string> lines;
  if (from) {
    lines.push_back(fmt::format(
        "{} at step {} | {} tensors copied unchanged{}", from->checkpoint, from->step, from->copied,
        from->upcycled.empty()
            ? ""
            : fmt::format(", experts of {} layers made from its dense feed-forward layers", from->upcycled.size())));
    if (!from->fresh.empty() || !from->left_out.empty()) {
      const auto list = [](const std::vector<std::string>& names) {
        return names.empty() ? "nothing" : join(names, ", ");
      };
      lines.push_back(fmt::format("fresh: {} | left out: {}", list(from->fresh), list(from->left_out)));
    }
  }
  if (from && !from->differences.empty()) lines.push_back("different from init.from: " + join(from->differences, ", "));
  if (clusters) {
    lines.push_back(fmt::format("clusters of {} tokens in {} layer{}",
                                format_count(static_cast<double>(clusters->tokens)), clusters->layers.size(),
                                clusters->layers.size() == 1 ? "" : "s"));
    for (const LayerClusters& layer : clusters->layers) {
      const auto [smallest, largest] = std::minmax_element(layer.sizes.begin(), layer.sizes.end());
      lines.push_back(fmt::format(
          "layer {} | {} clusters of {} to {} tokens | mean cosine {:.3f} | {} iterations | logits deviate by {:.2f}",
          layer.layer, layer.sizes.size(), *smallest, *largest, layer.mean_cosine, layer.iterations,
          layer.logit_deviation));
    }
  }
  if (reptile) {
    lines.push_back(fmt::format("Reptile on {} tokens | loss before the domains' inner steps {:.4f} -> {:.4f}",
                                format_count(reptile->tokens), reptile->first_loss, reptile->last_loss));
  }
  if (perturbation > 0) lines.push_back(fmt::format("all values perturbed by up to {:g} of themselves", perturbation));
  return lines;
}

std::vector<Json> RunInitialisation::to_json() const {
  std::vector<Json> records;
  if (clusters) {
    for (const LayerClusters& layer : clusters->layers) {
      records.push_back({{"kind", "clusters"},
                         {"layer", layer.layer},
                         {"tokens", clusters->tokens},
                         {"sizes", layer.sizes},
                         {"mean_cosine", layer.mean_cosine},
                         {"iterations", layer.iterations},
                         {"logit_deviation", layer.logit_deviation}});
    }
  }
  if (reptile) {
    records.push_back({{"kind", "reptile"},
                       {"tokens", reptile->tokens},
                       {"first_loss", reptile->first_loss},
                       {"last_loss", reptile->last_loss}});
  }
  return records;
}

}  // namespace moe
