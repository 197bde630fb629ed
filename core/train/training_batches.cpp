#include "core/train/training_batches.h"

#include <functional>
#include <numeric>
#include <utility>

#include "core/schedule/scheduled.h"

namespace moe {

// Weights divided by their sum.
static std::vector<double> shares_of(std::vector<double> weights) {
  const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
  for (double& weight : weights) weight /= sum;
  return weights;
}

// The shares of data.mixture over the run, by default in proportion to the numbers of samples.
static std::function<double(int64_t, int64_t)> mixture_weights(const MixtureConfig& config,
                                                               const std::vector<int64_t>& samples,
                                                               const RunLength& run) {
  const Scheduled change = config.change.make(run);
  const std::vector<double> begin =
      shares_of(config.weights.empty() ? std::vector<double>(samples.begin(), samples.end()) : config.weights);
  const std::vector<double> end = shares_of(config.final_weights);
  return [=](int64_t step, int64_t corpus) {
    const auto k = static_cast<size_t>(corpus);
    if (end.empty()) return begin[k];
    const double moved = change.at(static_cast<uint64_t>(step));
    return (1 - moved) * begin[k] + moved * end[k];
  };
}

TrainingBatches::TrainingBatches(const TrainConfig& config, const Task& task, Curriculum& curriculum,
                                 const RunLength& run, int64_t shift)
    : config_(config), task_(task), curriculum_(curriculum), shift_(shift) {
  if (task.sources().empty()) return;
  MixtureSetup setup;
  setup.batch = config.train.batch;
  setup.seed = static_cast<uint64_t>(config.data_seed());
  for (const Task::Source& source : task.sources()) setup.samples.push_back(source.samples);
  setup.weight = mixture_weights(config.data.mixture, setup.samples, run);
  mixture_.emplace(std::move(setup));
}

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
  if (mixture_) mixture_->draw(step + shift_, visits_);
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
