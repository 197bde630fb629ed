#include "core/step/check_model.h"

#include <algorithm>

#include "core/base/check.h"
#include "core/model/model.h"
#include "data/curriculum/curriculum.h"

namespace moe {
namespace {

struct Facts {
  const TrainConfig& config;
  const SampleShape& sample;
  bool trains;
  const ModelKind& model() const { return models().at(config.task); }
};

void check_heads(const Facts& f) {
  const ModelConfig& model = f.config.model;
  const AttentionConfig& attention = model.attention;
  if (attention.d_head == 0 && model.d_model % attention.heads != 0) {
    raise<UsageError>("{}: d_model {} is not divisible by {} heads", attention.where("heads"), attention.heads,
                      model.d_model);
  }
  if (attention.heads % model.kv_heads() != 0) {
    raise<UsageError>("{}: {} must divide the number of heads, which is {}", attention.where("kv_heads"),
                      model.kv_heads(), attention.heads);
  }
  if (attention.position == "rope" && model.d_head() < 2) {
    raise<UsageError>("{}: rope needs a head of at least 2 dimensions; set position: learned or none",
                      attention.where("position"));
  }
  if (attention.position != "rope" && attention.rope_scaling.kind() != "none") {
    raise<UsageError>("{}: {} changes the frequencies of rope, but model.attention.position is {}; use none",
                      attention.where("rope_scaling"), attention.rope_scaling.kind(), attention.position);
  }
}

void check_context_memory(const Facts& f) {
  const AttentionConfig& attention = f.config.model.attention;
  const CurriculumConfig& curriculum = f.config.curriculum;
  const bool reads_on = curriculum.sampler.kind() == "contiguous";
  if (attention.position == "relative" && attention.memory == 0) {
    raise<UsageError>(
        "{}: relative needs model.attention.memory above 0, because it learns a vector for each distance up to it",
        attention.where("position"));
  }
  if (attention.memory == 0) return;
  if (!attention.causal)
    raise<UsageError>("{}: needs causal attention; set model.attention.causal: true or memory: 0",
                      attention.where("memory"));
  if (!f.model().reads_on) {  // such samples do not use the context memory
    if (f.trains && reads_on) {
      raise<UsageError>(
          "{}: contiguous needs continuous text, but the samples of task: {} are independent; use uniform",
          curriculum.where("sampler"), f.config.task);
    }
    return;
  }
  if (attention.position == "learned") {
    raise<UsageError>(
        "{}: learned positions cover positions in a sequence, not those before it; set model.attention.position: rope "
        "or relative",
        attention.where("memory"));
  }
  if (f.trains && !reads_on) {
    raise<UsageError>(
        "{}: each row's segments must be consecutive, which the sampler {} does not provide; set curriculum.sampler: "
        "contiguous",
        attention.where("memory"), curriculum.sampler.kind());
  }
}

void check_vocabulary(const Facts& f) {
  const ModelConfig& model = f.config.model;
  if (model.vocab_size == 0) return;
  if (f.sample.vocab == 0) {
    raise<UsageError>("{}: the samples of this task have no token ids; remove the key or set it to 0",
                      model.where("vocab_size"));
  }
  if (model.vocab_size < f.sample.vocab) {
    raise<UsageError>(
        "{}: {} rows are too few for the {} tokens of the tokenizer; use at least {}, or 0 for that number",
        model.where("vocab_size"), model.vocab_size, f.sample.vocab, f.sample.vocab);
  }
}

void check_task(const Facts& f) {
  f.model().check(f.config.model, f.sample);
}

void check_signals(const Facts& f) {
  if (!f.trains) return;
  const std::vector<bool> layers = f.config.model.moe_layers();
  if (std::find(layers.begin(), layers.end(), true) != layers.end()) return;
  const SampleSignalSet signals = measured_signals(f.config.curriculum);
  for (const SampleSignal signal :
       {SampleSignal::router_entropy, SampleSignal::expert_variance, SampleSignal::router_uncertainty}) {
    if (!signals[index_of(signal)]) continue;
    raise<UsageError>("{}: needs a MoE layer; this model has none",
                      f.config.curriculum.signals.where(kSampleSignals[index_of(signal)].name));
  }
}

constexpr void (*kChecks[])(const Facts&) = {
    check_heads, check_context_memory, check_vocabulary, check_task, check_signals,
};

}  // namespace

void check_model(const TrainConfig& config, const SampleShape& sample, bool trains) {
  for (const auto check : kChecks) check({config, sample, trains});
}

}  // namespace moe
