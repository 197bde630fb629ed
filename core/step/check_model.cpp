#include "core/step/check_model.h"

#include <algorithm>

#include "core/base/check.h"
#include "data/curriculum/curriculum.h"

namespace moe {
namespace {

struct Facts {
  const TrainConfig& config;
  const SampleShape& sample;
  bool trains;
  bool is_classifier() const { return config.task == "classify"; }
};

void check_heads(const Facts& f) {
  const ModelConfig& model = f.config.model;
  const AttentionConfig& attention = model.attention;
  if (attention.d_head == 0 && model.d_model % attention.heads != 0) {
    raise<UsageError>("{}: {} heads do not divide d_model {}; set d_head", attention.where("heads"), attention.heads,
                      model.d_model);
  }
  if (attention.heads % model.kv_heads() != 0) {
    raise<UsageError>("{}: {} do not divide {} heads", attention.where("kv_heads"), model.kv_heads(), attention.heads);
  }
  if (attention.position == "rope" && model.d_head() < 2) {
    raise<UsageError>("{}: rope needs a head of at least 2 dimensions; set position: learned or none",
                      attention.where("position"));
  }
}

void check_context_memory(const Facts& f) {
  const AttentionConfig& attention = f.config.model.attention;
  const CurriculumConfig& curriculum = f.config.curriculum;
  const bool reads_on = curriculum.sampler.kind() == "contiguous";
  if (attention.position == "relative" && attention.memory == 0) {
    raise<UsageError>("{}: relative learns a vector for each distance up to model.attention.memory, which is 0",
                      attention.where("position"));
  }
  if (attention.memory == 0) return;
  if (!attention.causal) raise<UsageError>("{}: is for causal attention", attention.where("memory"));
  if (f.is_classifier()) {  // every sample begins with nothing to remember
    if (f.trains && reads_on) {
      raise<UsageError>("{}: contiguous reads on, and labelled samples follow nothing", curriculum.where("sampler"));
    }
    return;
  }
  if (attention.position == "learned") {
    raise<UsageError>(
        "{}: learned positions know places in a sequence, not before it; set model.attention.position: rope or "
        "relative",
        attention.where("memory"));
  }
  if (f.trains && !reads_on) {
    raise<UsageError>(
        "{}: what a row remembers must come before what it reads, which the sampler {} does not provide; set "
        "curriculum.sampler: contiguous",
        attention.where("memory"), curriculum.sampler.kind());
  }
}

void check_language_model(const Facts& f) {
  if (f.is_classifier()) return;
  const ModelConfig& model = f.config.model;
  if (!model.attention.causal) {
    raise<UsageError>("{}: a language model that sees later tokens reads what it should predict",
                      model.attention.where("causal"));
  }
  if (model.pooling != "mean") raise<UsageError>("{}: is for task: classify", model.where("pooling"));
  if (model.head != "linear") raise<UsageError>("{}: {} is for task: classify", model.where("head"), model.head);
}

void check_classifier(const Facts& f) {
  if (!f.is_classifier()) return;
  const ModelConfig& model = f.config.model;
  if (model.tie_embeddings) {
    raise<UsageError>("{}: a classifier's head has classes, not tokens", model.where("tie_embeddings"));
  }
  if (model.attention.causal && f.sample.features > 0 && model.pooling == "class_token") {
    raise<UsageError>(
        "{}: with causal attention the class token, which comes before an image's patches, sees nothing; set "
        "model.attention.causal: false",
        model.where("pooling"));
  }
  if (f.sample.classes < 2) raise<UsageError>("{} classes: there is nothing to tell apart", f.sample.classes);
}

void check_signals(const Facts& f) {
  if (!f.trains) return;
  const std::vector<bool> layers = f.config.model.moe_layers();
  if (std::find(layers.begin(), layers.end(), true) != layers.end()) return;
  const SampleSignalSet signals = measured_signals(f.config.curriculum);
  for (const SampleSignal signal : {SampleSignal::router_entropy, SampleSignal::expert_variance}) {
    if (!signals[index_of(signal)]) continue;
    raise<UsageError>("{}: needs a MoE layer; this model has none",
                      f.config.curriculum.signals.where(kSampleSignals[index_of(signal)].name));
  }
}

constexpr void (*kChecks[])(const Facts&) = {
    check_heads, check_context_memory, check_language_model, check_classifier, check_signals,
};

}  // namespace

void check_model(const TrainConfig& config, const SampleShape& sample, bool trains) {
  for (const auto check : kChecks) check({config, sample, trains});
}

}  // namespace moe
