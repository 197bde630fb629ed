#include "core/tasks/text_samples.h"

namespace moe {

TextSamples::TextSamples(const Split& split, const TrainConfig& config)
    : split_(split),
      mode_(document_mode(config.data.documents)),
      length_(config.data.sequence),
      predicts_all_(mode_ == DocumentMode::joined && !split.has_scored()) {
  expect_documents(split, mode_);
  if (mode_ == DocumentMode::fit) {
    parts_.emplace(split, length_, length_);
    predicts_all_ = !split.has_scored();
  } else {
    windows_.emplace(
        SamplerConfig{split.num_tokens(), length_, config.train.batch, static_cast<uint64_t>(config.data_seed())});
  }
  predictions_per_sample_ = static_cast<double>(length_);
  if (mode_ == DocumentMode::joined && predicts_all_) return;
  const auto all = static_cast<double>(count_predictions(split, 1, split.num_tokens() - 1, mode_));
  predictions_per_sample_ *= all / static_cast<double>(split.num_tokens() - 1);
  if (parts_) predictions_per_sample_ = all / static_cast<double>(parts_->num_windows());
}

}  // namespace moe
