#include "core/tasks/pair_task.h"

#include <algorithm>

#include "core/base/integer.h"
#include "core/base/json.h"
#include "core/base/philox.h"
#include "core/config/curriculum_config.h"
#include "core/tasks/classify_task.h"
#include "core/tasks/labelled_task.h"
#include "data/content_hash.h"
#include "data/curriculum/curriculum.h"
#include "data/labelled_format.h"

namespace moe {
namespace {

constexpr uint32_t kPairStream = 5;  // the other streams are in data

// The two parts' configurations: each is a task of labelled samples.
TrainConfig first_config(TrainConfig config) {
  config.task = "classify";
  return config;
}
TrainConfig second_config(TrainConfig config) {
  config.task = "classify";
  config.data.use(config.data.pairs.second);
  config.data.labelled.format = "auto";
  return config;
}

// With what the part's samples use of the augmentation.
TrainConfig with_own_augmentation(TrainConfig config) {
  const std::string kind = labelled_format(config.data).kind;
  AugmentConfig& augment = config.data.augment;
  augment = kind == "images"   ? image_augmentation(augment)
            : kind == "sounds" ? sound_augmentation(augment)
                               : AugmentConfig{};
  return config;
}

const Json& part_of(const Json& pairs, const char* part, const std::string& origin) {
  const Json* found = pairs.find(part);
  if (!found) raise<CheckpointError>("{} is damaged: it does not describe the {} parts of pairs", origin, part);
  return *found;
}

SampleShape shape_of(const SampleShape& first, const SampleShape& second) {
  if (first.features == 0) {
    throw UsageError(
        "task: pairs needs images or sounds in data.path, and texts, images or sounds in data.pairs.second");
  }
  SampleShape shape = first;
  shape.vocab = second.vocab;
  shape.second_patches = second.patches;
  shape.second_features = second.features;
  shape.modalities = 2;
  shape.time = 2 * std::max(first.time, second.time);
  return shape;
}

// The samples of each class.
using ClassMembers = std::vector<std::vector<int64_t>>;

// A second part of the class, as a function of its arguments.
int64_t drawn_member(const ClassMembers& members, int32_t label, uint64_t seed, const SampleVisit& visit) {
  const std::vector<int64_t>& of_class = members[as_index(label)];
  const RandomKey key{seed, RandomPurpose::sampling, kPairStream, static_cast<uint64_t>(visit.epoch)};
  return of_class[key.bits(static_cast<uint64_t>(visit.sample)) % of_class.size()];
}

int64_t tokens_of(const Batch& part, int64_t row) {
  return part.lengths.empty() ? part.length : part.lengths[as_index(row)];
}

// The features of both parts, in the rows that the shape says.
void join_features(const Batch& first, const Batch& second, const FeatureRows& rows, Batch& pairs) {
  pairs.patch_features = rows.width;
  if (rows.modalities == 1) {
    pairs.features = first.features;
    return;
  }
  const int64_t each = rows.rows * rows.width;
  pairs.features.assign(as_index(pairs.sequences * 2 * each), 0);
  for (const Batch* part : {&first, &second}) {
    const int64_t own = std::ssize(part->features) / std::max<int64_t>(1, part->sequences);
    for (int64_t i = 0; i < part->sequences; ++i) {
      std::copy_n(part->features.begin() + i * own, own, pairs.features.begin() + (2 * i + (part == &second)) * each);
    }
  }
}

// Makes rows of pairs from rows of both parts: each row is the first part's sequence followed by the second part's,
// both padded to half of `time`.
void join(const Batch& first, const Batch& second, const FeatureRows& rows, int64_t time, Batch& pairs) {
  const int64_t n = first.sequences, half = time / 2;
  MOE_CHECK(second.sequences == n && first.length <= half && second.length <= half,
            "{} pairs of {} and {} tokens do not fit into {}", n, first.length, second.length, time);
  pairs.resize(n, time);
  pairs.modalities = 2;
  pairs.domains.clear();
  pairs.starts.clear();
  pairs.document_begins.clear();
  pairs.document_ends.clear();
  pairs.labels = first.labels;
  pairs.sample_ids = first.sample_ids;
  join_features(first, second, rows, pairs);
  pairs.lengths.resize(as_index(2 * n));
  if (second.inputs.empty()) pairs.inputs.clear();
  std::fill(pairs.inputs.begin(), pairs.inputs.end(), kPaddingToken);
  std::fill(pairs.targets.begin(), pairs.targets.end(), kIgnoreTarget);
  for (int64_t i = 0; i < n; ++i) {
    const bool exists = first.labels[as_index(i)] != kIgnoreTarget;
    for (const Batch* part : {&first, &second}) {
      const bool is_second = part == &second;
      const int64_t place = i * time + (is_second ? half : 0);
      const int64_t tokens = exists ? tokens_of(*part, i) : 0;
      pairs.lengths[as_index(2 * i + is_second)] = static_cast<int32_t>(tokens);
      std::fill_n(pairs.targets.begin() + place, tokens, 0);
      if (!part->inputs.empty())
        std::copy_n(part->inputs.begin() + i * part->length, tokens, pairs.inputs.begin() + place);
    }
  }
}

// What a batch has of a second part: its tokens or its features.
void take_row(const Batch& from, int64_t row, Batch& to, int64_t place) {
  const auto copy = [&](const auto& all, auto& some) {
    if (all.empty()) return;
    const int64_t each = std::ssize(all) / from.sequences;
    std::copy_n(all.begin() + row * each, each, some.begin() + place * each);
  };
  copy(from.inputs, to.inputs);
  copy(from.lengths, to.lengths);
  copy(from.features, to.features);
}

class PairEvaluation : public EvaluationSet {
 public:
  // `second_classes`: the first parts' class of each class of second parts.
  PairEvaluation(std::unique_ptr<EvaluationSet> first, const EvaluationSet& second,
                 const std::vector<int32_t>& second_classes, const FeatureRows& rows, uint64_t seed)
      : first_(std::move(first)), rows_(rows) {
    second.load(0, second.num_sequences(), second_);
    ClassMembers members(second_classes.size());
    for (int64_t i = 0; i < second.num_sequences(); ++i)
      members[as_index(second_classes[as_index(second_.labels[as_index(i)])])].push_back(i);
    Batch firsts;
    first_->load(0, num_sequences(), firsts);
    tokens_ = num_sequences() * firsts.length;
    for (int64_t i = 0; i < num_sequences(); ++i) {
      const int32_t label = firsts.labels[as_index(i)];
      if (as_index(label) >= members.size() || members[as_index(label)].empty())
        raise<DataError>("data.pairs.second: there is no sample of class {} in this split", label);
      chosen_.push_back(drawn_member(members, label, seed, {i, 0}));
      tokens_ += tokens_of(second_, chosen_.back());
    }
    time_ = 2 * std::max(firsts.length, second_.length);
  }
  int64_t num_sequences() const override { return first_->num_sequences(); }
  int64_t num_tokens() const override { return tokens_; }
  void load(int64_t first, int64_t count, Batch& batch) const override {
    Batch firsts, seconds;
    first_->load(first, count, firsts);
    seconds.sequences = count;
    seconds.length = second_.length;
    const auto room_for = [&](const auto& all) { return all.size() / as_index(second_.sequences) * as_index(count); };
    seconds.inputs.resize(room_for(second_.inputs));
    seconds.lengths.resize(room_for(second_.lengths));
    seconds.features.resize(room_for(second_.features));
    for (int64_t i = 0; i < count; ++i)
      take_row(second_, first + i < num_sequences() ? chosen_[as_index(first + i)] : 0, seconds, i);
    join(firsts, seconds, rows_, time_, batch);
  }

 private:
  std::unique_ptr<EvaluationSet> first_;
  const FeatureRows rows_;
  Batch second_;                 // all second parts of the split
  std::vector<int64_t> chosen_;  // the second part of each first one
  int64_t tokens_ = 0, time_ = 0;
};

class PairTask : public Task {
 public:
  PairTask(const TrainConfig& config, std::unique_ptr<Task> first, std::unique_ptr<Task> second)
      : config_(config),
        first_task_(std::move(first)),
        second_task_(std::move(second)),
        first_(dynamic_cast<const LabelledTask&>(*first_task_)),
        second_(dynamic_cast<const LabelledTask&>(*second_task_)),
        shape_(shape_of(first_.shape(), second_.shape())),
        members_(as_index(shape_.classes)) {
    const std::vector<std::string> names = first_.class_names();
    for (const std::string& name : second_.class_names()) {
      const auto found = std::find(names.begin(), names.end(), name);
      if (found == names.end())
        raise<DataError>("data.pairs.second: {} has samples of the class '{}', but the classes of {} are {}",
                         second_.data_name(), name, first_.data_name(), join_names(names));
      second_classes_.push_back(static_cast<int32_t>(found - names.begin()));
    }
    for (int64_t i = 0; i < second_.num_samples(); ++i)
      members_[as_index(second_classes_[as_index(second_.label(i))])].push_back(i);
    for (size_t c = 0; c < members_.size(); ++c) {
      if (members_[c].empty())
        raise<DataError>("data.pairs.second: {} has no training sample of the class {}", second_.data_name(), names[c]);
    }
  }

  void check(const TrainConfig& config) const override {
    first_.check(with_own_augmentation(first_config(config)));
    second_.check(with_own_augmentation(second_config(config)));
    const std::vector<std::string> parts = modalities();
    if (std::count(parts.begin(), parts.end(), "image") == 0) refuse_image_augmentation(config.data);
    if (std::count(parts.begin(), parts.end(), "sound") == 0) refuse_sound_augmentation(config.data);
    if (config.train.label_smoothing.make({}).largest() > 0) {
      raise<UsageError>("{}: only for classifiers and language models; the loss of pairs has no single target",
                        config.train.where("label_smoothing"));
    }
    const SampleSignalSet signals = measured_signals(config);
    for (const SampleSignal signal : {SampleSignal::entropy, SampleSignal::gradient}) {
      if (!signals[index_of(signal)]) continue;
      raise<UsageError>("{}: not measured of pairs, whose predictions depend on the batch; use loss",
                        config.curriculum.signals.where(kSampleSignals[index_of(signal)].name));
    }
  }

  std::string data_name() const override { return first_.data_name() + " with " + second_.data_name(); }
  SampleShape shape() const override { return shape_; }
  int64_t num_samples() const override { return first_.num_samples(); }
  Json identity() const override { return {{"first", first_.identity()}, {"second", second_.identity()}}; }
  Json samples() const override { return {{"first", first_.samples()}, {"second", second_.samples()}}; }
  Json description() const override {
    return {{"kind", "pairs"}, {"first", first_.description()}, {"second", second_.description()}};
  }
  std::string summary() const override { return first_.summary() + " | pairs with " + second_.summary(); }
  std::vector<std::string> doubts() const override {
    std::vector<std::string> all = first_.doubts();
    for (std::string& doubt : second_.doubts()) all.push_back(std::move(doubt));
    return all;
  }
  int64_t memory_bytes() const override { return first_.memory_bytes() + second_.memory_bytes(); }
  SampleView view(int64_t sample) const override {
    SampleView view = first_.view(sample);
    view.text += " | " + second_.view(second_of({sample, 0})).text;
    return view;
  }
  std::vector<std::string> modalities() const override {
    const std::string first = described_kind(first_.description(), "data.path").one,
                      second = described_kind(second_.description(), "data.pairs.second").one;
    if (first == second) return {"first " + first, "second " + second};
    return {first, second};
  }

  SampleExtent extent(std::span<const SampleVisit> visits) const override {
    const SampleExtent first = first_.extent(visits), second = second_.extent(second_of(visits));
    return {2 * std::max(first.time, second.time), first.tokens + second.tokens};
  }
  double tokens_per_sample() const override { return first_.tokens_per_sample() + second_.tokens_per_sample(); }
  void load(std::span<const SampleVisit> visits, int64_t time, Batch& batch) const override {
    first_.load(visits, time / 2, first_batch_);
    second_.load(second_of(visits), time / 2, second_batch_);
    join(first_batch_, second_batch_, shape_.feature_rows(), time, batch);
  }
  NamedFigures training_figures(double, const StepOutcome& last) const override {
    return {{kPairMetrics[0], last.accuracy}};
  }

  bool has_split(std::string_view split) const override { return first_.has_split(split) && second_.has_split(split); }
  std::unique_ptr<EvaluationSet> evaluation_set(const std::string& split,
                                                const EvaluationOptions& options) const override {
    EvaluationOptions all = options;
    all.tokens = 0;
    return std::make_unique<PairEvaluation>(first_.evaluation_set(split, options), *second_.evaluation_set(split, all),
                                            second_classes_, shape_.feature_rows(),
                                            static_cast<uint64_t>(config_.data.labelled.split_seed));
  }
  uint64_t content_hash(const std::string& split) const override {
    ContentHash hash;
    for (const LabelledTask* part : {&first_, &second_}) {
      const uint64_t own = part->content_hash(split);
      hash.update(&own, sizeof own);
    }
    return hash.value();
  }

 private:
  static std::string join_names(const std::vector<std::string>& names) { return moe::join(names, ", ").substr(0, 200); }
  // The second parts that belong to visits of first parts.
  int64_t second_of(const SampleVisit& visit) const {
    return drawn_member(members_, first_.label(visit.sample), static_cast<uint64_t>(config_.data_seed()), visit);
  }
  std::span<const SampleVisit> second_of(std::span<const SampleVisit> visits) const {
    second_visits_.clear();
    for (const SampleVisit& visit : visits) second_visits_.push_back({second_of(visit), visit.epoch});
    return second_visits_;
  }

  TrainConfig config_;
  std::unique_ptr<Task> first_task_, second_task_;
  const LabelledTask &first_, &second_;
  SampleShape shape_;
  std::vector<int32_t> second_classes_;       // the first parts' class of each class of second parts
  ClassMembers members_;                      // training samples of second parts by class of first parts
  mutable Batch first_batch_, second_batch_;  // reused, like second_visits_
  mutable std::vector<SampleVisit> second_visits_;
};

// Opens the task of one part; `pairs`: the description of the pairs that a model was trained on, or null.
std::unique_ptr<Task> open_part(const TrainConfig& config, const Json* pairs, const char* part,
                                const std::string& origin) {
  return open_classify_task(with_own_augmentation(config), pairs ? &part_of(*pairs, part, origin) : nullptr, origin);
}

}  // namespace

SampleShape pair_shape(const TrainConfig& config, const Json& pairs, const std::string& origin) {
  return shape_of(classify_shape(first_config(config), part_of(pairs, "first", origin), origin),
                  classify_shape(second_config(config), part_of(pairs, "second", origin), origin));
}

std::unique_ptr<Task> open_pair_task(const TrainConfig& config, const Json* pairs, const std::string& origin) {
  if (config.data.pairs.second.empty()) {
    raise<UsageError>(
        "{}: task: pairs needs the folder of the second parts: labelled texts, images or sounds of the same classes",
        config.data.pairs.where("second"));
  }
  return std::make_unique<PairTask>(config, open_part(first_config(config), pairs, "first", origin),
                                    open_part(second_config(config), pairs, "second", origin));
}

}  // namespace moe
