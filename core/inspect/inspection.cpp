#include "core/inspect/inspection.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <utility>

#include "comm/rank_texts.h"
#include "core/base/integer.h"
#include "core/inspect/churn.h"
#include "core/inspect/expert_similarity.h"
#include "core/inspect/split_trace.h"
#include "core/lifecycle/expert_lifecycle.h"
#include "core/record/run_folder.h"

namespace moe {

namespace fs = std::filesystem;

static constexpr int64_t kRatedSamples = 10;  // number of easiest and of hardest samples

int64_t Inspection::dead() const {
  int64_t sum = 0;
  for (const LayerStats& layer : layers) sum += layer.dead;
  return sum;
}

int64_t Inspection::nearly_dead() const {
  int64_t sum = 0;
  for (const LayerStats& layer : layers) sum += layer.nearly_dead;
  return sum;
}

double Inspection::max_over_mean() const {
  double worst = 1;
  for (const LayerStats& layer : layers) worst = std::max(worst, layer.max_over_mean);
  return worst;
}

std::string Inspection::experts_in_words() const {
  LayerNumbers numbers;
  for (const LayerStats& layer : layers) numbers.push_back({layer.experts(), 1});
  return to_words(numbers);
}

std::string run_folder_of(const std::string& run_or_checkpoint) {
  fs::path path = fs::absolute(run_or_checkpoint).lexically_normal();
  if (!path.has_filename()) path = path.parent_path();
  if (fs::is_directory(path / "checkpoints")) return fs::path(run_or_checkpoint).lexically_normal().string();
  if (path.parent_path().filename() != "checkpoints") return "";
  const fs::path run = path.parent_path().parent_path();
  return fs::exists(run / "config.yaml") ? run.string() : "";
}

// The first tokens of the split, which rank 0 has, on every rank. Those of a stream are only adjacent in one segment.
static std::vector<int32_t> first_tokens(LoadedRun& run, const StepTrace& trace) {
  int64_t count = std::min(std::ssize(trace.ids), kViewedTokens);
  if (run.state->model->memory_shape()) count = std::min(count, run.config.data.sequence);
  const char* const bytes = reinterpret_cast<const char*>(trace.ids.data());
  const std::string text = broadcast_text(*run.world, {bytes, as_index(count) * sizeof(int32_t)}, 0);
  std::vector<int32_t> tokens(text.size() / sizeof(int32_t));
  std::memcpy(tokens.data(), text.data(), text.size());
  return tokens;
}

static void add_specialisation(Inspection& result, LoadedRun& run, const Task& task, const InspectionOptions& options) {
  if (result.layers.empty()) return;
  const int64_t tokens = options.tokens > 0 ? std::min(options.tokens, kSpecialisationTokens) : kSpecialisationTokens;
  const StepTrace trace = split_trace(run, task, options.split, tokens, kInspectionSequences, TracedParts::logits);
  const std::vector<ExpertSimilarity> similarity = expert_similarities(run, task, options.split, kInspectionSequences);
  const TokenText text = token_text_of(result.run);
  if (models().at(run.config.task).reads_on) {
    TextViews views = view_texts(*run.state, first_tokens(run, trace), run.config.data.sequence, text);
    result.tokens = std::move(views.read);
    result.written = std::move(views.written);
  } else if (run.world->rank() == 0) {
    result.tokens = view_tokens(trace, text);
  }
  if (run.world->rank() != 0) return;
  result.specialisation_tokens = trace.tokens();
  for (size_t i = 0; i < trace.layers.size(); ++i) {
    result.specialisation.push_back(specialisation_of(trace, trace.layers[i]));
    result.specialisation.back().similarity = similarity[i].mean;
    result.specialisation.back().similarity_of = similarity[i].pairs;
  }
  result.use = sample_use(trace, task.class_names(), task.grid());
  if (!result.run.empty()) result.saturation = router_saturation(result.run);
}

Inspection inspect(LoadedRun& run, const std::string& run_or_checkpoint, const InspectionOptions& options) {
  const std::unique_ptr<Task> task = run.open_task(options.data);
  Inspection result;
  result.run = run_folder_of(run_or_checkpoint);
  result.checkpoint = run.checkpoint;
  result.step = run.step;
  const RunState state = load_run_state(run.checkpoint);
  result.trained_tokens = state.tokens;
  result.config = load_run_config(run.checkpoint);
  result.sample = task->shape();
  result.modalities = task->modalities();
  result.experts_per_token = experts_per_token(run.config, state.length);
  result.summary = summarise(run.config, result.sample, state.length);
  result.data = task->data_name();
  result.split = options.split;
  run.state->ctx.diagnose = true;
  const EvaluationOptions evaluation{
      .context = 0, .stride = 0, .tokens = options.tokens, .sequences = kInspectionSequences};
  Choices choices;
  result.evaluation = evaluate_with_choices(run, *task, options.split, evaluation, choices);
  for (const MoELayer* layer : run.state->model->moe_layers()) {
    LayerStats stats = layer_stats(layer->layer(), layer->load());
    stats.norms = weight_norms(run.state->ctx, run.state->parameters, *layer, run.groups);
    stats.experts_per_token = layer->traits().final_k;
    for (size_t i = 0; i < layer->balance().size(); ++i) {
      stats.balance.emplace_back(layer->balance().name(i), layer->balance().value(i));
    }
    layer->for_each_measure([&](const std::string& name, std::optional<double> value) {
      if (value) stats.measures.emplace_back(name, *value);
    });
    result.layers.push_back(std::move(stats));
  }
  if (!options.against.empty()) {
    const bool is_folder = fs::is_directory(options.against);
    LoadedRun before = load_run(is_folder ? options.against : run_or_checkpoint, is_folder ? "last" : options.against,
                                run.world, run.groups.expert->size(), kInspectionSequences, run.device);
    Choices earlier;
    evaluate_with_choices(before, *task, options.split, evaluation, earlier);
    const std::vector<double> changed = churn(choices, earlier, run, before);
    for (size_t i = 0; i < changed.size(); ++i) result.layers[i].measures.emplace_back("churn", changed[i]);
  }
  add_specialisation(result, run, *task, options);
  result.curriculum = curriculum_stats(run.checkpoint, result.config, kRatedSamples);
  if (!result.run.empty()) result.history = read_history(result.run + "/metrics.jsonl");
  return result;
}

}  // namespace moe
