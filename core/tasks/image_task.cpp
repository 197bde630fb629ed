#include "core/tasks/image_task.h"

#include <algorithm>

#include "core/base/json.h"
#include "core/base/units.h"
#include "core/tasks/labelled_task.h"
#include "data/content_hash.h"
#include "data/images/image_loader.h"
#include "data/images/image_noise.h"

namespace moe {
namespace {

// A checkpoint's description of the images that its model was trained on.
struct ImageDescription {
  ImageShape shape;
  int64_t classes = 0;
  Normalisation normalisation;

  Json to_json() const {
    return {{"kind", "images"},   {"channels", shape.channels}, {"height", shape.height},      {"width", shape.width},
            {"classes", classes}, {"mean", normalisation.mean}, {"scale", normalisation.scale}};
  }
  static ImageDescription from(const Json& json, const std::string& origin) {
    try {
      if (json.at("kind") != "images") raise<CheckpointError>("{} does not describe images", origin);
      ImageDescription result{{json.at("channels"), json.at("height"), json.at("width")},
                              json.at("classes"),
                              {json.at("mean"), json.at("scale")}};
      const auto channels = static_cast<size_t>(result.shape.channels);
      if (result.shape.pixels() <= 0 || result.normalisation.mean.size() != channels ||
          result.normalisation.scale.size() != channels) {
        raise<CheckpointError>("{} is inconsistent", origin);
      }
      return result;
    } catch (const JsonError& error) {
      raise<CheckpointError>("{} is damaged: {}", origin, error.what());
    }
  }
};

SampleShape shape_of(const TrainConfig& config, const ImageShape& image, int64_t classes) {
  const PatchGrid grid(image, config.model.patch);
  SampleShape shape;
  shape.patches = grid.patches();
  shape.time = class_tokens(config) + grid.patches();
  shape.features = grid.features();
  shape.classes = classes;
  return shape;
}

class ImageEvaluation : public EvaluationSet {
 public:
  // Its first images.
  ImageEvaluation(ImageSplit split, const ImageLoader& loader, int64_t images)
      : split_(std::move(split)), loader_(loader), images_(images) {}
  int64_t num_sequences() const override { return images_; }
  int64_t num_tokens() const override { return images_ * loader_.tokens_per_sample(); }
  void load(int64_t first, int64_t count, Batch& batch) const override {
    std::vector<SampleVisit> visits;
    for (int64_t i = first; i < first + count; ++i) visits.push_back({i < images_ ? i : split_.size(), 0});
    loader_.load(split_, visits, {}, 0, batch);
  }

 private:
  const ImageSplit split_;
  const ImageLoader& loader_;
  int64_t images_;
};

class ImageTask : public LabelledTask {
 public:
  ImageTask(const TrainConfig& config, ImageCorpus corpus, const ImageDescription* trained)
      : config_(config),
        corpus_(std::move(corpus)),
        train_(corpus_.split("train")),
        loader_(PatchGrid(corpus_.shape(), config.model.patch),
                trained ? trained->normalisation : Normalisation::of(train_, corpus_.shape()), class_tokens(config)),
        train_hash_(train_.content_hash()) {}

  void check(const TrainConfig& config) const override {
    LabelledTask::check(config);
    refuse_sound_augmentation(config.data);
  }

  std::string data_name() const override { return corpus_.name(); }
  SampleShape shape() const override { return shape_of(config_, corpus_.shape(), corpus_.classes()); }
  int64_t num_samples() const override { return train_.size(); }
  Json identity() const override { return {{"data", format_hash(train_hash_)}, {"classes", corpus_.classes()}}; }
  Json samples() const override { return {{"data", format_hash(train_hash_)}, {"samples", train_.size()}}; }
  Json description() const override {
    return ImageDescription{corpus_.shape(), corpus_.classes(), loader_.normalisation()}.to_json();
  }
  std::string summary() const override {
    const ImageShape& shape = corpus_.shape();
    std::vector<std::string> sizes;
    for (const ImageSplit& split : corpus_.splits()) sizes.push_back(fmt::format("{} {}", split.size(), split.name()));
    return fmt::format("{} | {} images of {} x {} x {} in {} classes, {} patches each | labels: {}", corpus_.name(),
                       join(sizes, ", "), shape.channels, shape.height, shape.width, corpus_.classes(),
                       loader_.grid().patches(), corpus_.class_counts().in_words());
  }
  std::vector<std::string> doubts() const override { return corpus_.class_counts().doubts(); }
  int64_t memory_bytes() const override { return corpus_.memory_bytes(); }
  SampleView view(int64_t sample) const override {
    const ImageShape& shape = corpus_.shape();
    const auto pixels = train_.image(sample);
    return {fmt::format("class {}", train_.label(sample)),
            shape.channels,
            shape.height,
            shape.width,
            {pixels.begin(), pixels.end()}};
  }
  std::vector<std::string> class_names() const override { return corpus_.class_counts().names; }
  std::optional<SampleGrid> grid() const override {
    const PatchGrid& grid = loader_.grid();
    return SampleGrid{.leading = class_tokens(config_),
                      .rows = grid.image.height / grid.side,
                      .columns = grid.image.width / grid.side,
                      .row = "row",
                      .column = "column"};
  }

  void load(std::span<const SampleVisit> visits, int64_t, Batch& batch) const override {
    loader_.load(train_, visits, config_.data.augment, static_cast<uint64_t>(config_.data_seed()), batch);
  }

  int32_t label(int64_t sample) const override { return train_.label(sample); }
  bool has_split(std::string_view split) const override { return corpus_.has_split(split); }
  uint64_t content_hash(const std::string& split) const override { return corpus_.split(split).content_hash(); }

 private:
  std::unique_ptr<EvaluationSet> samples_of(const std::string& split, const EvaluationOptions& options) const override {
    const ImageSplit& all = corpus_.split(split);
    const int64_t images = options.tokens > 0 ? std::min(options.tokens, all.size()) : all.size();
    return std::make_unique<ImageEvaluation>(
        options.noise > 0 ? with_noise(all, corpus_.shape(), images, options.noise) : all, loader_, images);
  }

  TrainConfig config_;
  ImageCorpus corpus_;
  const ImageSplit& train_;
  ImageLoader loader_;
  uint64_t train_hash_;
};

}  // namespace

SampleShape image_shape(const TrainConfig& config, const Json& images, const std::string& origin) {
  const ImageDescription description = ImageDescription::from(images, origin);
  return shape_of(config, description.shape, description.classes);
}

std::unique_ptr<Task> open_image_task(const TrainConfig& config, const std::string&, const Json* images,
                                      const std::string& origin) {
  ImageCorpus corpus = ImageCorpus::open(config.data);
  if (!images) return std::make_unique<ImageTask>(config, std::move(corpus), nullptr);
  const ImageDescription trained = ImageDescription::from(*images, origin);
  const auto text = [](const ImageShape& s, int64_t classes) {
    return fmt::format("{} x {} x {} in {} classes", s.channels, s.height, s.width, classes);
  };
  if (!(trained.shape == corpus.shape()) || trained.classes < corpus.classes()) {
    raise<DataError>("{} has images of {}, but the model was trained on {}", corpus.name(),
                     text(corpus.shape(), corpus.classes()), text(trained.shape, trained.classes));
  }
  return std::make_unique<ImageTask>(config, std::move(corpus), &trained);
}

}  // namespace moe
