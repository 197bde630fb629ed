#include "core/tasks/text_task.h"

#include <algorithm>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "core/base/integer.h"
#include "core/base/json.h"
#include "core/base/units.h"
#include "core/evaluate/measure_causality.h"
#include "core/generate/generate.h"
#include "core/tasks/open_corpus.h"
#include "core/tasks/retrieved_prefix.h"
#include "core/tasks/text_samples.h"
#include "data/content_hash.h"
#include "data/document_windows.h"
#include "data/evaluation_streams.h"
#include "data/evaluation_windows.h"

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

// A further corpus of a mixture. Pointers keep its splits where the samples refer to them.
struct MixedCorpus {
  std::unique_ptr<Corpus> corpus;
  TextSamples samples;
};

std::vector<MixedCorpus> open_mixture(const TrainConfig& config, const Tokenizer& tokenizer) {
  std::vector<MixedCorpus> all;
  for (const std::string& path : config.data.mixture.with) {
    DataConfig data = config.data;
    data.use(path);
    auto corpus = std::make_unique<Corpus>(open_corpus(data, tokenizer));
    const Split& train = corpus->split("train");
    all.push_back({std::move(corpus), TextSamples(train, config)});
  }
  return all;
}

class TextTask : public Task {
 public:
  TextTask(const TrainConfig& config, Corpus corpus)
      : config_(config),
        corpus_(std::move(corpus)),
        train_(corpus_.split("train")),
        documents_(document_mode(config.data.documents)),
        samples_(train_, config),
        others_(open_mixture(config, corpus_.tokenizer())),
        prompt_(sample_prompt(config, corpus_)),
        bytes_per_token_(train_.bytes_per_token()),
        spelling_bits_(spelling_bits(train_.unknown().value_or(UnknownText{})) /
                       static_cast<double>(std::max<int64_t>(train_.num_tokens(), 1))) {
    if (!config.data.retrieval.neighbours.empty()) prefix_.emplace(config.data, train_);
    if (others_.empty()) return;
    sources_.push_back({corpus_.name(), samples_.size()});
    for (const MixedCorpus& other : others_) sources_.push_back({other.corpus->name(), other.samples.size()});
    for (size_t i = 0; i < sources_.size(); ++i) {
      // Corpora of one name are told apart by their number.
      const auto same = [&](const Source& source) { return source.name == sources_[i].name; };
      if (std::count_if(sources_.begin(), sources_.begin() + static_cast<std::ptrdiff_t>(i), same) > 0)
        sources_[i].name += "-" + std::to_string(i);
    }
  }

  void check(const TrainConfig& config) const override {
    refuse_augmentation(config.data);
    check_mixture(config);
    check_retrieval(config);
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
    shape.time = config_.data.places();
    return shape;
  }
  int64_t num_samples() const override {
    int64_t samples = samples_.size();
    for (const MixedCorpus& other : others_) samples += other.samples.size();
    return samples;
  }
  std::span<const Source> sources() const override { return sources_; }
  Json identity() const override {
    return described({{"data", format_hash(train_.content_hash())}, {"vocab", corpus_.vocab_size()}});
  }
  Json samples() const override {
    return described({{"data", format_hash(train_.content_hash())},
                      {"sequence", config_.data.sequence},
                      {"samples", num_samples()}});
  }
  Json description() const override { return corpus_.tokenizer().to_json(); }
  std::string summary() const override {
    const std::string unknown = unknown_in_words(corpus_.unknown_shares());
    std::string mixture;
    for (const MixedCorpus& other : others_) {
      mixture += fmt::format(" + {} {}", other.corpus->name(),
                             format_count(static_cast<double>(other.samples.split().num_tokens())));
    }
    return fmt::format("{} | {} training tokens{}, vocabulary {} ({}){}", corpus_.name(),
                       format_count(static_cast<double>(train_.num_tokens())), mixture, corpus_.vocab_size(),
                       corpus_.tokenizer().name(), unknown.empty() ? "" : " | " + unknown);
  }
  std::vector<std::string> doubts() const override { return corpus_.doubts(); }
  int64_t memory_bytes() const override { return corpus_.memory_bytes(); }
  SampleView view(int64_t sample) const override {
    const auto [samples, visit, source] = located({sample, 0});
    const Window window = samples->window(visit);
    std::vector<int32_t> tokens(static_cast<size_t>(window.tokens));
    samples->split().read(window.start, window.tokens, tokens.data());
    return {corpus_.tokenizer().decode(tokens)};
  }

  SampleExtent extent(std::span<const SampleVisit> visits) const override {
    SampleExtent extent;
    for (const SampleVisit& visit : visits) {
      const auto [samples, own, source] = located(visit);
      const Window window = samples->window(own);
      extent.time = std::max(extent.time, window.tokens);
      extent.tokens += samples->predictions(window);
    }
    if (prefix_) extent.time += prefix_->length();
    return extent;
  }
  // Of a mixture by the weights with which it begins.
  double tokens_per_sample() const override {
    const std::vector<double>& weights = config_.data.mixture.weights;
    double tokens = 0, all = 0;
    for (size_t i = 0; i <= others_.size(); ++i) {
      const TextSamples& samples = i == 0 ? samples_ : others_[i - 1].samples;
      const double weight = i < weights.size() ? weights[i] : static_cast<double>(samples.size());
      tokens += weight * samples.predictions_per_sample();
      all += weight;
    }
    return all > 0 ? tokens / all : samples_.predictions_per_sample();
  }
  void load(std::span<const SampleVisit> visits, int64_t time, Batch& batch) const override {
    if (!prefix_) return load_windows(visits, time, batch);
    load_windows(visits, time - prefix_->length(), windows_);
    prefix_->add("train", windows_, batch);
  }
  void load_windows(std::span<const SampleVisit> visits, int64_t time, Batch& batch) const {
    load_rows(std::ssize(visits), time, batch, documents_ == DocumentMode::separate, [&](int64_t i) {
      const auto [samples, visit, source] = located(visits[as_index(i)]);
      load_window(samples->split(), samples->window(visit), i, batch);
      if (!others_.empty()) batch.domains[as_index(i)] = source;
    });
    for (size_t i = 0; i < visits.size(); ++i) batch.sample_ids[i] = visits[i].sample;
  }
  NamedFigures training_figures(double loss, const StepOutcome&) const override {
    return {{"bpc", bits_per_character(loss, bytes_per_token_, spelling_bits_)}};
  }
  std::optional<GeneratedText> generate(TrainingState& state, int64_t step,
                                        const std::function<bool()>& stop) const override {
    const std::vector<int32_t> text =
        moe::generate(state, prompt_,
                      {.tokens = config_.sample.tokens,
                       .sampling = {.temperature = config_.sample.temperature},
                       .seed = static_cast<uint64_t>(config_.seed + step),
                       .reader = {.context = config_.data.sequence, .chunk = config_.data.sequence},
                       .stop = stop});
    return GeneratedText{corpus_.tokenizer().decode(prompt_), corpus_.tokenizer().decode(text)};
  }

  bool has_split(std::string_view split) const override {
    const auto [corpus, name] = corpus_of(split);
    return corpus->has_split(name);
  }
  std::unique_ptr<EvaluationSet> evaluation_set(const std::string& split,
                                                const EvaluationOptions& options) const override {
    refuse_noise(options);
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
      return std::make_unique<EvaluationStreams>(split_of(split), context,
                                                 options.streams > 0 ? options.streams : config_.evaluate.streams,
                                                 memory, options.tokens);
    }
    if (options.streams > 0) throw UsageError("streams need a model with a context memory (model.attention.memory)");
    const int64_t stride = options.stride > 0 ? options.stride : context;
    if (documents_ == DocumentMode::fit)
      return std::make_unique<EvaluationDocuments>(split_of(split), context, stride, options.tokens);
    auto windows = std::make_unique<EvaluationWindows>(split_of(split), context, stride, options.tokens, documents_);
    if (!prefix_) return windows;
    prefix_->require(split_of(split));
    return std::make_unique<PrefixedSet>(std::move(windows), split, *prefix_);
  }
  std::vector<std::string> source_names(const std::string& split) const override {
    return corpus_of(split).first->sources();
  }
  uint64_t content_hash(const std::string& split) const override { return split_of(split).content_hash(); }
  std::optional<double> entropy_rate() const override { return corpus_.entropy_rate(); }
  Causality measure_causality(TrainingState& state, const std::string& split,
                              const EvaluationOptions& options) const override {
    const int64_t context = options.context > 0 ? options.context : config_.data.sequence;
    return moe::measure_causality(state, split_of(split), context, options.sequences);
  }

 private:
  // Descriptions of one corpus with joined documents are those of earlier versions.
  Json described(Json json) const {
    if (documents_ != DocumentMode::joined) json["documents"] = std::string(name_of(documents_));
    for (const MixedCorpus& other : others_) {
      json["mixture"].push_back(format_hash(other.samples.split().content_hash()));
    }
    if (prefix_) json["retrieval"] = {{"neighbours", prefix_->hash()}, {"length", prefix_->length()}};
    return json;
  }
  void check_mixture(const TrainConfig& config) const {
    const MixtureConfig& mixture = config.data.mixture;
    const size_t corpora = 1 + mixture.with.size();
    for (const auto& [key, weights] : {std::pair<const char*, const std::vector<double>&>{"weights", mixture.weights},
                                       {"final_weights", mixture.final_weights}}) {
      if (weights.empty()) continue;
      if (weights.size() != corpora) {
        raise<UsageError>("{}: {} weights of {} corpora; give one for data.path and one for each of data.mixture.with",
                          mixture.where(key), weights.size(), corpora);
      }
      double sum = 0;
      for (const double weight : weights) {
        if (!(weight >= 0)) raise<UsageError>("{}: a weight of {}; expected at least 0", mixture.where(key), weight);
        sum += weight;
      }
      if (!(sum > 0)) raise<UsageError>("{}: all weights are 0", mixture.where(key));
    }
    if (others_.empty() || config.curriculum.sampler.kind() == "uniform") return;
    raise<UsageError>("{}: a mixture of corpora draws its samples by their weights; use uniform",
                      config.curriculum.where("sampler"));
  }
  void check_retrieval(const TrainConfig& config) const {
    if (!prefix_) return;
    const char* const with = documents_ != DocumentMode::joined                 ? "data.documents other than joined"
                             : !others_.empty()                                 ? "data.mixture"
                             : config.model.attention.memory > 0                ? "model.attention.memory"
                             : config.curriculum.sampler.kind() == "contiguous" ? "curriculum.sampler: contiguous"
                                                                                : nullptr;
    if (with)
      raise<UsageError>("{}: retrieved prefixes do not go together with {}", config.data.retrieval.where("neighbours"),
                        with);
  }
  // The samples of the corpus that a visit is to, the visit among them, and the corpus's number.
  struct Located {
    const TextSamples* samples;
    SampleVisit visit;
    int32_t source;
  };
  Located located(SampleVisit visit) const {
    const TextSamples* samples = &samples_;
    int32_t source = 0;
    while (static_cast<size_t>(source) < others_.size() && visit.sample >= samples->size()) {
      visit.sample -= samples->size();
      samples = &others_[static_cast<size_t>(source++)].samples;
    }
    return {samples, visit, source};
  }
  // "validation" is data.path's split, "NAME/validation" that of a mixture's corpus.
  std::pair<const Corpus*, std::string_view> corpus_of(std::string_view split) const {
    for (size_t i = 1; i < sources_.size(); ++i) {
      const std::string prefix = sources_[i].name + "/";
      if (split.starts_with(prefix)) return {others_[i - 1].corpus.get(), split.substr(prefix.size())};
    }
    return {&corpus_, split};
  }
  const Split& split_of(std::string_view split) const {
    const auto [corpus, name] = corpus_of(split);
    return corpus->split(name);
  }

  TrainConfig config_;
  Corpus corpus_;
  const Split& train_;
  DocumentMode documents_;
  TextSamples samples_;
  std::vector<MixedCorpus> others_;
  std::optional<RetrievedPrefix> prefix_;
  mutable Batch windows_;  // reused between steps, of windows that get a prefix
  std::vector<Source> sources_;
  std::vector<int32_t> prompt_;
  std::optional<double> bytes_per_token_;  // of the training text
  double spelling_bits_;                   // of its unknown text, per token
};

}  // namespace

SampleShape text_shape(const TrainConfig& config, const Json& tokenizer, const std::string& origin) {
  SampleShape shape(load_tokenizer(tokenizer, origin)->vocab_size());
  shape.time = config.data.places();
  return shape;
}

std::unique_ptr<Task> open_text_task(const TrainConfig& config, const Json* tokenizer, const std::string& origin) {
  return std::make_unique<TextTask>(
      config, tokenizer ? open_corpus(config.data, *load_tokenizer(*tokenizer, origin)) : open_corpus(config.data));
}

}  // namespace moe
