#include "core/tasks/sound_task.h"

#include <algorithm>

#include "core/base/json.h"
#include "core/tasks/labelled_task.h"
#include "data/audio/sound_loader.h"
#include "data/content_hash.h"

namespace moe {
namespace {

// A checkpoint's description of the sounds that its model was trained on. The settings of data.audio are in the run's
// configuration, and here so that spectrograms of others are refused.
struct SoundDescription {
  SpectrogramShape shape;
  std::vector<std::string> classes;
  SoundNormalisation normalisation;
  std::vector<double> audio;  // see settings_of

  static std::vector<double> settings_of(const AudioConfig& audio) {
    return {static_cast<double>(audio.rate), audio.window, audio.hop, audio.lowest,
            audio.highest_frequency(),       audio.range};
  }
  Json to_json() const {
    return {{"kind", "sounds"},   {"frames", shape.frames},     {"bands", shape.bands},
            {"classes", classes}, {"mean", normalisation.mean}, {"scale", normalisation.scale},
            {"rate", audio[0]},   {"window", audio[1]},         {"hop", audio[2]},
            {"lowest", audio[3]}, {"highest", audio[4]},        {"range", audio[5]}};
  }
  static SoundDescription from(const Json& json, const std::string& origin) {
    try {
      if (json.at("kind") != "sounds") raise<CheckpointError>("{} does not describe sounds", origin);
      SoundDescription result{{json.at("frames"), json.at("bands")},
                              json.at("classes").get<std::vector<std::string>>(),
                              {json.at("mean"), json.at("scale")},
                              {}};
      for (const char* key : {"rate", "window", "hop", "lowest", "highest", "range"})
        result.audio.push_back(json.at(key));
      if (result.shape.frames < 1 || result.shape.bands < 1 || result.classes.empty())
        raise<CheckpointError>("{} is inconsistent", origin);
      return result;
    } catch (const JsonError& error) {
      raise<CheckpointError>("{} is damaged: {}", origin, error.what());
    }
  }
};

SoundGrid grid_of(const TrainConfig& config, const SpectrogramShape& spectrogram) {
  return {spectrogram, config.model.patch_frames, config.model.patch_bands};
}

SampleShape shape_of(const TrainConfig& config, const SpectrogramShape& spectrogram, size_t classes) {
  const SoundGrid grid = grid_of(config, spectrogram);
  SampleShape shape;
  shape.patches = grid.patches();
  shape.time = class_tokens(config) + grid.patches();
  shape.features = grid.features();
  shape.classes = static_cast<int64_t>(classes);
  return shape;
}

class SoundEvaluation : public EvaluationSet {
 public:
  SoundEvaluation(const SoundSplit& split, const SoundLoader& loader, const AudioConfig& audio, int64_t sounds)
      : split_(split),
        loader_(loader),
        audio_(audio),
        sounds_(sounds > 0 ? std::min(sounds, split.size()) : split.size()) {}
  int64_t num_sequences() const override { return sounds_; }
  int64_t num_tokens() const override { return sounds_ * loader_.tokens_per_sample(); }
  void load(int64_t first, int64_t count, Batch& batch) const override {
    std::vector<SampleVisit> visits;
    for (int64_t i = first; i < first + count; ++i) visits.push_back({i < sounds_ ? i : split_.size(), 0});
    loader_.load(split_, visits, {}, audio_, 0, batch);
  }

 private:
  const SoundSplit& split_;
  const SoundLoader& loader_;
  const AudioConfig& audio_;
  int64_t sounds_;
};

class SoundTask : public LabelledTask {
 public:
  SoundTask(const TrainConfig& config, SoundCorpus corpus, const SoundDescription* trained)
      : config_(config),
        corpus_(std::move(corpus)),
        train_(corpus_.split("train")),
        loader_(SoundPatches(grid_of(config, corpus_.shape()),
                             trained ? trained->normalisation : SoundNormalisation::of(train_, config.data.audio.range),
                             config.data.audio.range),
                class_tokens(config)),
        train_hash_(train_.content_hash()) {}

  void check(const TrainConfig& config) const override {
    LabelledTask::check(config);
    refuse_image_augmentation(config.data);
  }

  std::string data_name() const override { return corpus_.name(); }
  SampleShape shape() const override { return shape_of(config_, corpus_.shape(), corpus_.classes().size()); }
  int64_t num_samples() const override { return train_.size(); }
  Json identity() const override { return {{"data", format_hash(train_hash_)}, {"classes", corpus_.classes().size()}}; }
  Json samples() const override { return {{"data", format_hash(train_hash_)}, {"samples", train_.size()}}; }
  Json description() const override {
    return SoundDescription{corpus_.shape(), corpus_.classes(), loader_.patches().normalisation(),
                            SoundDescription::settings_of(config_.data.audio)}
        .to_json();
  }
  std::string summary() const override {
    std::vector<std::string> sizes;
    for (const SoundSplit& split : corpus_.splits()) sizes.push_back(fmt::format("{} {}", split.size(), split.name()));
    return fmt::format(
        "{} | {} sounds of {} s at {} Hz, {} frames x {} mel bands, in {} classes, {} patches each | "
        "labels: {}",
        corpus_.name(), join(sizes, ", "), config_.data.audio.seconds, config_.data.audio.rate, corpus_.shape().frames,
        corpus_.shape().bands, corpus_.classes().size(), loader_.patches().grid().patches(),
        corpus_.class_counts().in_words());
  }
  std::vector<std::string> doubts() const override { return corpus_.class_counts().doubts(); }
  int64_t memory_bytes() const override { return corpus_.memory_bytes(); }
  // The spectrogram as a grey picture: time to the right, low bands below.
  SampleView view(int64_t sample) const override {
    const auto [frames, bands] = corpus_.shape();
    SampleView view{corpus_.classes()[as_index(train_.label(sample))], 1, bands, frames, {}};
    const std::span<const uint8_t> values = train_.values(sample);
    for (int64_t band = bands; band-- > 0;) {
      for (int64_t frame = 0; frame < frames; ++frame) view.pixels.push_back(values[as_index(frame * bands + band)]);
    }
    return view;
  }
  int32_t label(int64_t sample) const override { return train_.label(sample); }
  std::vector<std::string> class_names() const override { return corpus_.classes(); }
  std::optional<SampleGrid> grid() const override {
    const SoundGrid& grid = loader_.patches().grid();
    return SampleGrid{.leading = loader_.leading(),
                      .rows = grid.shape.bands / grid.bands,
                      .columns = grid.shape.frames / grid.frames,
                      .by_column = true,
                      .upward = true,
                      .row = "frequency",
                      .column = "time"};
  }

  void load(std::span<const SampleVisit> visits, int64_t, Batch& batch) const override {
    loader_.load(train_, visits, config_.data.augment, config_.data.audio, static_cast<uint64_t>(config_.data_seed()),
                 batch);
  }

  bool has_split(std::string_view split) const override { return corpus_.has_split(split); }
  uint64_t content_hash(const std::string& split) const override { return corpus_.split(split).content_hash(); }
  bool predicts_alike(const Json& trained, const std::string& origin) const override {
    return SoundDescription::from(trained, origin).classes == corpus_.classes();
  }

 private:
  std::unique_ptr<EvaluationSet> samples_of(const std::string& split, const EvaluationOptions& options) const override {
    refuse_noise(options);
    return std::make_unique<SoundEvaluation>(corpus_.split(split), loader_, config_.data.audio, options.tokens);
  }

  TrainConfig config_;
  SoundCorpus corpus_;
  const SoundSplit& train_;
  SoundLoader loader_;
  uint64_t train_hash_;
};

}  // namespace

SampleShape sound_shape(const TrainConfig& config, const Json& sounds, const std::string& origin) {
  const SoundDescription description = SoundDescription::from(sounds, origin);
  return shape_of(config, description.shape, description.classes.size());
}

std::unique_ptr<Task> open_sound_task(const TrainConfig& config, const std::string&, const Json* sounds,
                                      const std::string& origin) {
  SoundCorpus corpus = SoundCorpus::open(config.data);
  if (!sounds) return std::make_unique<SoundTask>(config, std::move(corpus), nullptr);
  const SoundDescription trained = SoundDescription::from(*sounds, origin);
  if (!(trained.shape == corpus.shape()) || trained.audio != SoundDescription::settings_of(config.data.audio)) {
    raise<DataError>(
        "{}: other settings of data.audio than the model was trained with: {} frames x {} bands; expected "
        "{} x {}, with the same rate, window, hop, frequencies and range",
        corpus.name(), corpus.shape().frames, corpus.shape().bands, trained.shape.frames, trained.shape.bands);
  }
  if (trained.classes != corpus.classes()) {
    raise<DataError>("{} has the classes {}, but the model was trained on {}", corpus.name(),
                     join(corpus.classes(), ", "), join(trained.classes, ", "));
  }
  return std::make_unique<SoundTask>(config, std::move(corpus), &trained);
}

}  // namespace moe
