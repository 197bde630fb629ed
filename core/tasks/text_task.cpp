#include "core/tasks/text_task.h"

#include <algorithm>
#include <functional>

#include "core/base/integer.h"
#include "core/base/json.h"
#include "core/base/units.h"
#include "core/evaluate/generate.h"
#include "core/evaluate/measure_causality.h"
#include "core/tasks/open_corpus.h"
#include "data/content_hash.h"
#include "data/document_windows.h"
#include "data/evaluation_streams.h"
#include "data/evaluation_windows.h"
#include "data/sampler.h"

namespace moe {
namespace {

// The prompt of generated samples. Throws DataError, before training starts, for a prompt that the tokenizer cannot
// encode.
std::vector<int32_t> sample_prompt(const TrainConfig& config, const Corpus& corpus) {
  std::vector<int32_t> prompt;
  if (!config.sample.prompt.empty()) {
    corpus.tokenizer().encode(config.sample.prompt, prompt);
    return prompt;
  }
  const Split& split = corpus.split(corpus.has_split("validation") ? "validation" : "train");
  prompt.resize(static_cast<size_t>(std::min<int64_t>({split.num_tokens(), 64, config.data.sequence})));
  split.read(0, static_cast<int64_t>(prompt.size()), prompt.data());
  return prompt;
}

class TextTask : public Task {
 public:
  TextTask(const TrainConfig& config, Corpus corpus)
      : config_(config),
        corpus_(std::move(corpus)),
        train_(corpus_.split("train")),
        documents_(document_mode(config.data.documents)),
        prompt_(sample_prompt(config, corpus_)),
        bytes_per_token_(train_.bytes_per_token()),
        spelling_bits_(spelling_bits(train_.unknown().value_or(UnknownText{})) /
                       static_cast<double>(std::max<int64_t>(train_.num_tokens(), 1))) {
    expect_documents(train_, documents_);
    if (documents_ == DocumentMode::fit) {
      parts_.emplace(train_, config.data.sequence, config.data.sequence);
    } else {
      windows_.emplace(SamplerConfig{train_.num_tokens(), config.data.sequence, config.train.batch,
                                     static_cast<uint64_t>(config.data_seed())});
    }
  }

  void check(const TrainConfig& config) const override {
    refuse_augmentation(config.data);
    if (documents_ == DocumentMode::joined) return;
    const bool reads_on = config.curriculum.sampler.kind() == "contiguous";
    if (config.model.attention.memory == 0 && !reads_on) return;
    raise<UsageError>("{}: {} divides the text into documents, while {} reads on from one to the next; use joined",
                      config.data.where("documents"), config.data.documents,
                      reads_on ? "curriculum.sampler: contiguous" : "model.attention.memory");
  }

  std::string data_name() const override { return corpus_.name(); }
  SampleShape shape() const override {
    SampleShape shape(corpus_.vocab_size());
    shape.time = config_.data.sequence;
    return shape;
  }
  int64_t num_samples() const override { return parts_ ? parts_->num_windows() : windows_->num_windows(); }
  Json identity() const override {
    return with_documents({{"data", format_hash(train_.content_hash())}, {"vocab", corpus_.vocab_size()}});
  }
  Json samples() const override {
    return with_documents({{"data", format_hash(train_.content_hash())},
                           {"sequence", config_.data.sequence},
                           {"samples", num_samples()}});
  }
  Json description() const override { return corpus_.tokenizer().to_json(); }
  std::string summary() const override {
    const std::string unknown = unknown_in_words(corpus_.unknown_shares());
    return fmt::format("{} | {} training tokens, vocabulary {} ({}){}", corpus_.name(),
                       format_count(static_cast<double>(train_.num_tokens())), corpus_.vocab_size(),
                       corpus_.tokenizer().name(), unknown.empty() ? "" : " | " + unknown);
  }
  std::vector<std::string> doubts() const override { return corpus_.doubts(); }
  int64_t memory_bytes() const override { return corpus_.memory_bytes(); }
  SampleView view(int64_t sample) const override {
    const Window window = window_of({sample, 0});
    std::vector<int32_t> tokens(static_cast<size_t>(window.tokens));
    train_.read(window.start, window.tokens, tokens.data());
    return {corpus_.tokenizer().decode(tokens)};
  }

  SampleExtent extent(std::span<const SampleVisit> visits) const override {
    if (documents_ == DocumentMode::joined) return Task::extent(visits);
    SampleExtent extent;
    for (const SampleVisit& visit : visits) {
      const Window window = window_of(visit);
      extent.time = std::max(extent.time, window.tokens);
      extent.tokens += window.tokens;
      if (!parts_) extent.tokens -= count_begins(train_, window.start + 1, window.tokens);
    }
    return extent;
  }
  double tokens_per_sample() const override {
    if (documents_ == DocumentMode::joined) return Task::tokens_per_sample();
    if (parts_) return static_cast<double>(parts_->num_predictions()) / static_cast<double>(parts_->num_windows());
    const double begins = static_cast<double>(train_.num_documents() - 1) / static_cast<double>(train_.num_tokens());
    return static_cast<double>(config_.data.sequence) * (1 - begins);
  }
  void load(std::span<const SampleVisit> visits, int64_t time, Batch& batch) const override {
    load_windows(
        train_, std::ssize(visits), time, batch, [&](int64_t i) { return window_of(visits[as_index(i)]); },
        documents_ == DocumentMode::separate);
    for (size_t i = 0; i < visits.size(); ++i) batch.sample_ids[i] = visits[i].sample;
  }
  NamedFigures training_figures(double loss, const StepOutcome&) const override {
    return {{"bpc", bits_per_character(loss, bytes_per_token_, spelling_bits_)}};
  }
  std::optional<GeneratedText> generate(TrainingState& state, int64_t step,
                                        const std::function<bool()>& stop) const override {
    const std::vector<int32_t> text =
        moe::generate(state, prompt_,
                      {config_.sample.tokens, config_.data.sequence, config_.sample.temperature,
                       static_cast<uint64_t>(config_.seed + step), stop});
    return GeneratedText{corpus_.tokenizer().decode(prompt_), corpus_.tokenizer().decode(text)};
  }

  bool has_split(std::string_view split) const override { return corpus_.has_split(split); }
  std::unique_ptr<EvaluationSet> evaluation_set(const std::string& split,
                                                const EvaluationOptions& options) const override {
    const int64_t context = options.context > 0 ? options.context : config_.data.sequence;
    if (context > config_.data.sequence) {
      raise<UsageError>("a context of {}: the model was loaded for {} tokens; use at most that", context,
                        config_.data.sequence);
    }
    const int64_t memory = config_.model.attention.memory;
    if (memory > 0) {
      if (options.stride > 0 && options.stride != context) {
        raise<UsageError>(
            "a stride of {}: a model with a context memory reads adjacent segments of the context's {} tokens; leave "
            "out the stride",
            options.stride, context);
      }
      return std::make_unique<EvaluationStreams>(corpus_.split(split), context,
                                                 options.streams > 0 ? options.streams : config_.evaluate.streams,
                                                 memory, options.tokens);
    }
    if (options.streams > 0) throw UsageError("streams need a model with a context memory (model.attention.memory)");
    const int64_t stride = options.stride > 0 ? options.stride : context;
    if (documents_ == DocumentMode::fit)
      return std::make_unique<EvaluationDocuments>(corpus_.split(split), context, stride, options.tokens);
    return std::make_unique<EvaluationWindows>(corpus_.split(split), context, stride, options.tokens, documents_);
  }
  uint64_t content_hash(const std::string& split) const override { return corpus_.split(split).content_hash(); }
  std::optional<double> entropy_rate() const override { return corpus_.entropy_rate(); }
  Causality measure_causality(TrainingState& state, const std::string& split,
                              const EvaluationOptions& options) const override {
    const int64_t context = options.context > 0 ? options.context : config_.data.sequence;
    return moe::measure_causality(state, corpus_.split(split), context, options.sequences);
  }

 private:
  // Descriptions of joined documents are those of earlier versions.
  Json with_documents(Json json) const {
    if (documents_ != DocumentMode::joined) json["documents"] = std::string(name_of(documents_));
    return json;
  }
  Window window_of(const SampleVisit& visit) const {
    if (parts_) return parts_->window(visit.sample);
    return {windows_->window_start(visit.epoch, visit.sample), config_.data.sequence};
  }

  TrainConfig config_;
  Corpus corpus_;
  const Split& train_;
  DocumentMode documents_;
  std::optional<Sampler> windows_;        // none with parts_
  std::optional<DocumentWindows> parts_;  // with documents: fit
  std::vector<int32_t> prompt_;
  std::optional<double> bytes_per_token_;  // of the training text
  double spelling_bits_;                   // of its unknown text, per token
};

}  // namespace

SampleShape text_shape(const TrainConfig& config, const Json& tokenizer, const std::string& origin) {
  SampleShape shape(load_tokenizer(tokenizer, origin)->vocab_size());
  shape.time = config.data.sequence;
  return shape;
}

std::unique_ptr<Task> open_text_task(const TrainConfig& config, const Json* tokenizer, const std::string& origin) {
  return std::make_unique<TextTask>(
      config, tokenizer ? open_corpus(config.data, *load_tokenizer(*tokenizer, origin)) : open_corpus(config.data));
}

}  // namespace moe
