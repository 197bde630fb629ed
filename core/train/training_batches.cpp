#include "core/train/training_batches.h"

namespace moe {

LocalBatch TrainingBatches::draw(int64_t step, const Communicator& world) {
  visits_.resize(static_cast<size_t>(config_.train.batch));
  const std::span<const Drawn> drawn = curriculum_.draw(step + shift_);
  const std::optional<StreamPlace> place = curriculum_.stream(step);
  const bool weighted = draws_weights(config_.curriculum);
  weights_.resize(weighted ? drawn.size() : 0);
  for (size_t i = 0; i < drawn.size(); ++i) {
    const int64_t draw = (step + shift_) * config_.train.batch + static_cast<int64_t>(i);
    visits_[i] = {drawn[i].sample, place ? place->pass : draw / task_.num_samples()};
    if (weighted) weights_[i] = drawn[i].weight;
  }
  const Share mine = share_of(config_.train.batch, world.size(), world.rank());
  const SampleExtent extent = task_.extent(visits_);
  time_ = extent.time;
  task_.load(std::span(visits_).subspan(static_cast<size_t>(mine.begin), static_cast<size_t>(mine.count)), extent.time,
             batch_);
  LocalBatch batch = LocalBatch::of(batch_, mine.begin, config_.train.batch);
  batch.global_tokens = extent.tokens;
  batch.begins = place && place->step == 0;
  batch.weights = std::span<const double>(weights_).subspan(weighted ? static_cast<size_t>(mine.begin) : 0,
                                                            weighted ? static_cast<size_t>(mine.count) : 0);
  return batch;
}

void TrainingBatches::load_first(int64_t samples, Batch& batch) const {
  task_.load(std::span(visits_).first(static_cast<size_t>(samples)), time_, batch);
}

}  // namespace moe
