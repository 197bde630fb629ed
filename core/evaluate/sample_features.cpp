#include "core/evaluate/sample_features.h"

#include <algorithm>

#include "core/base/integer.h"
#include "core/evaluate/evaluator.h"
#include "core/tensor/copy.h"

namespace moe {

SampleFeatures sample_features(TrainingState& state, const ProcessGroups& groups, const EvaluationSet& set,
                               int64_t sequences) {
  const Model& model = *state.model;
  MOE_CHECK(model.predictions_per_sample(2) == 1, "features of a model that predicts tokens");
  SampleFeatures result;
  const int64_t samples = set.num_sequences();
  std::vector<float> labels(as_index(samples), 0.0f);  // as numbers, because ranks add them up
  std::vector<float> rows;
  std::vector<int32_t> targets;
  evaluate(state, groups, set, sequences, [&](int64_t first, const Outcome& outcome) {
    const ConstTensor x = model.head_input();
    if (result.width == 0) {
      result.width = x.dim(1);
      result.rows.resize(as_index(samples * result.width), 0.0f);
    }
    rows.clear(), targets.clear();
    append_floats(state.ctx, rows, x);
    append_integers(state.ctx, targets, outcome.targets);
    const int64_t count = std::clamp<int64_t>(samples - first, 0, std::ssize(targets));  // the rest is padding
    std::copy_n(rows.begin(), count * result.width, result.rows.begin() + std::min(first, samples) * result.width);
    std::copy_n(targets.begin(), count, labels.begin() + std::min(first, samples));
  });
  groups.world->all_reduce_sum(as_tensor(std::span(result.rows)));
  groups.world->all_reduce_sum(as_tensor(std::span(labels)));
  for (const float label : labels) result.labels.push_back(static_cast<int32_t>(label));
  return result;
}

std::vector<int32_t> sample_labels(const EvaluationSet& set) {
  constexpr int64_t kSamples = 256;  // at a time
  std::vector<int32_t> labels;
  Batch batch;
  for (int64_t first = 0; first < set.num_sequences(); first += kSamples) {
    set.load(first, std::min(kSamples, set.num_sequences() - first), batch);
    labels.insert(labels.end(), batch.labels.begin(), batch.labels.end());
  }
  return labels;
}

void SampleSubset::load(int64_t first, int64_t count, Batch& batch) const {
  Batch one;
  batch = {};
  const auto append = [](auto& list, const auto& more) { list.insert(list.end(), more.begin(), more.end()); };
  for (int64_t i = first; i < first + count; ++i) {
    all_.load(i < num_sequences() ? members_[as_index(i)] : all_.num_sequences(), 1, one);
    append(batch.inputs, one.inputs);
    append(batch.targets, one.targets);
    append(batch.sample_ids, one.sample_ids);
    append(batch.labels, one.labels);
    append(batch.features, one.features);
    batch.lengths.push_back(one.lengths.empty() ? static_cast<int32_t>(one.length) : one.lengths[0]);
  }
  batch.sequences = count;
  batch.length = one.length;
  batch.patch_features = one.patch_features;
}

}  // namespace moe
