#include "core/tasks/labelled_text_task.h"

#include <algorithm>

#include "core/base/integer.h"
#include "core/base/json.h"
#include "core/base/units.h"
#include "core/tasks/inherited_tokenizer.h"
#include "core/tasks/labelled_task.h"
#include "data/content_hash.h"
#include "data/texts/text_loader.h"

namespace moe {
namespace {

// A checkpoint's description of the texts that its model was trained on.
struct TextDescription {
  Json tokenizer;
  std::vector<std::string> classes;

  Json to_json() const { return {{"kind", "texts"}, {"classes", classes}, {"tokenizer", tokenizer}}; }
  static TextDescription from(const Json& json, const std::string& origin) {
    try {
      return {json.at("tokenizer"), json.at("classes").get<std::vector<std::string>>()};
    } catch (const JsonError& error) {
      raise<CheckpointError>("{} is damaged: {}", origin, error.what());
    }
  }
};

SampleShape shape_of(const TrainConfig& config, int64_t vocab, size_t classes) {
  SampleShape shape(vocab);
  shape.time = config.data.sequence;
  shape.classes = static_cast<int64_t>(classes);
  return shape;
}

class TextEvaluation : public EvaluationSet {
 public:
  TextEvaluation(const LabelledTexts& split, const TextLoader& loader, int64_t texts)
      : split_(split), loader_(loader), texts_(texts > 0 ? std::min(texts, split.size()) : split.size()) {
    for (int64_t i = 0; i < texts_; ++i) {
      time_ = std::max(time_, loader_.length(split_, i));
      tokens_ += loader_.length(split_, i);
    }
  }
  int64_t num_sequences() const override { return texts_; }
  int64_t num_tokens() const override { return tokens_; }
  void load(int64_t first, int64_t count, Batch& batch) const override {
    std::vector<SampleVisit> visits;
    for (int64_t i = first; i < first + count; ++i) visits.push_back({i < texts_ ? i : split_.size(), 0});
    loader_.load(split_, visits, time_, batch);
  }

 private:
  const LabelledTexts& split_;
  const TextLoader& loader_;
  int64_t texts_, time_ = 1, tokens_ = 0;  // tokens of the longest text, and of all texts
};

class LabelledTextTask : public LabelledTask {
 public:
  LabelledTextTask(const TrainConfig& config, TextCorpus corpus)
      : config_(config),
        corpus_(std::move(corpus)),
        train_(corpus_.split("train")),
        loader_(class_tokens(config)),
        train_hash_(train_.content_hash()) {}

  void check(const TrainConfig& config) const override {
    LabelledTask::check(config);
    refuse_augmentation(config.data);
  }

  std::string data_name() const override { return corpus_.name(); }
  SampleShape shape() const override {
    return shape_of(config_, corpus_.tokenizer().vocab_size(), corpus_.classes().size());
  }
  int64_t num_samples() const override { return train_.size(); }
  Json identity() const override {
    return {{"data", format_hash(train_hash_)},
            {"classes", corpus_.classes().size()},
            {"vocab", corpus_.tokenizer().vocab_size()}};
  }
  Json samples() const override { return {{"data", format_hash(train_hash_)}, {"samples", train_.size()}}; }
  Json description() const override {
    return TextDescription{corpus_.tokenizer().to_json(), corpus_.classes()}.to_json();
  }
  std::string summary() const override {
    std::vector<std::string> sizes;
    int64_t cut = 0;
    for (const LabelledTexts& split : corpus_.splits()) {
      sizes.push_back(fmt::format("{} {}", split.size(), split.name()));
      cut += split.num_cut();
    }
    const std::string unknown = unknown_in_words(unknown_shares());
    return fmt::format(
        "{} | {} texts in {} classes, the largest {:.1f}% | {:.0f} tokens per text on average, {} at most, "
        "{} truncated | vocabulary {} ({}){} | labels: {}",
        corpus_.name(), join(sizes, ", "), corpus_.classes().size(), 100 * largest_class_share(), tokens_per_sample(),
        train_.longest() + class_tokens(config_), cut, corpus_.tokenizer().vocab_size(), corpus_.tokenizer().name(),
        unknown.empty() ? "" : " | " + unknown, corpus_.class_counts().in_words());
  }
  std::vector<std::string> doubts() const override {
    std::vector<std::string> found = corpus_.class_counts().doubts();
    if (auto doubt = doubt_of_unknown(unknown_shares())) found.push_back(std::move(*doubt));
    return found;
  }
  int64_t memory_bytes() const override { return corpus_.memory_bytes(); }
  SampleView view(int64_t sample) const override {
    return {fmt::format("[{}] {}", corpus_.classes()[as_index(train_.label(sample))], train_.text(sample))};
  }
  std::vector<std::string> class_names() const override { return corpus_.classes(); }

  // Padding does not affect results, so a step's samples are padded only to the longest of them.
  SampleExtent extent(std::span<const SampleVisit> visits) const override {
    SampleExtent extent{1, 0};
    for (const SampleVisit& visit : visits) {
      const int64_t tokens = loader_.length(train_, visit.sample);
      extent.time = std::max(extent.time, tokens);
      extent.tokens += tokens;
    }
    return extent;
  }
  double tokens_per_sample() const override {
    return static_cast<double>(train_.num_tokens()) / static_cast<double>(train_.size()) +
           static_cast<double>(class_tokens(config_));
  }
  void load(std::span<const SampleVisit> visits, int64_t time, Batch& batch) const override {
    loader_.load(train_, visits, time, batch);
  }

  int32_t label(int64_t sample) const override { return train_.label(sample); }
  bool has_split(std::string_view split) const override { return corpus_.has_split(split); }
  uint64_t content_hash(const std::string& split) const override { return corpus_.split(split).content_hash(); }
  bool predicts_alike(const Json& trained, const std::string& origin) const override {
    return TextDescription::from(trained, origin).classes == corpus_.classes();
  }

 private:
  std::unique_ptr<EvaluationSet> samples_of(const std::string& split, const EvaluationOptions& options) const override {
    refuse_noise(options);
    return std::make_unique<TextEvaluation>(corpus_.split(split), loader_, options.tokens);
  }

  std::vector<UnknownShare> unknown_shares() const {
    std::vector<UnknownShare> shares;
    for (const LabelledTexts& split : corpus_.splits())
      shares.push_back({split.name(), split.unknown().share_of(split.num_encoded())});
    return shares;
  }

  // The accuracy of a model that always predicts the same class.
  double largest_class_share() const {
    std::vector<int64_t> counts(corpus_.classes().size());
    for (int64_t i = 0; i < train_.size(); ++i) ++counts[as_index(train_.label(i))];
    return static_cast<double>(*std::max_element(counts.begin(), counts.end())) / static_cast<double>(train_.size());
  }

  TrainConfig config_;
  TextCorpus corpus_;
  const LabelledTexts& train_;
  TextLoader loader_;
  uint64_t train_hash_;
};

}  // namespace

SampleShape labelled_text_shape(const TrainConfig& config, const Json& texts, const std::string& origin) {
  const TextDescription description = TextDescription::from(texts, origin);
  return shape_of(config, load_tokenizer(description.tokenizer, origin)->vocab_size(), description.classes.size());
}

std::unique_ptr<Task> open_labelled_text_task(const TrainConfig& config, const std::string& format, const Json* texts,
                                              const std::string& origin) {
  const int64_t longest = config.data.sequence - class_tokens(config);
  if (longest < 1) {
    raise<UsageError>("{}: leaves no room for a text besides its class token; use at least 2",
                      config.data.where("sequence"));
  }
  TextCorpus::Setup setup{config.data.labelled, nullptr, longest};
  if (!texts) {
    setup.tokenizer = inherited_tokenizer(config);
    return std::make_unique<LabelledTextTask>(config,
                                              TextCorpus::open(config.data.location(), format, std::move(setup)));
  }
  const TextDescription trained = TextDescription::from(*texts, origin);
  setup.tokenizer = load_tokenizer(trained.tokenizer, origin);
  TextCorpus corpus = TextCorpus::open(config.data.location(), format, std::move(setup));
  if (trained.classes != corpus.classes()) {
    raise<DataError>("{} has the classes {}; the model was trained on {}", corpus.name(),
                     join(corpus.classes(), ", ").substr(0, 200), join(trained.classes, ", ").substr(0, 200));
  }
  return std::make_unique<LabelledTextTask>(config, std::move(corpus));
}

}  // namespace moe
