// The features that a frozen model computes for labelled samples.
#pragma once
#include <cstdint>
#include <utility>
#include <vector>

#include "core/step/training_state.h"
#include "data/evaluation_set.h"

namespace moe {

struct SampleFeatures {
  int64_t width = 0;            // d_model
  std::vector<float> rows;      // (samples, width): the inputs of the model's head
  std::vector<int32_t> labels;  // (samples)

  int64_t samples() const { return static_cast<int64_t>(labels.size()); }
};

// Collective; every rank gets the features of all samples of the set. `sequences`: computed at a time on each rank. The
// model must make one prediction per sequence (a classifier).
SampleFeatures sample_features(TrainingState& state, const ProcessGroups& groups, const EvaluationSet& set,
                               int64_t sequences);

// The labels of a set's samples, of which nothing is computed.
std::vector<int32_t> sample_labels(const EvaluationSet& set);

// Some samples of a set of labelled samples as a set of its own, which must not outlive the other.
class SampleSubset : public EvaluationSet {
 public:
  SampleSubset(const EvaluationSet& all, std::vector<int64_t> members) : all_(all), members_(std::move(members)) {}
  int64_t num_sequences() const override { return static_cast<int64_t>(members_.size()); }
  int64_t num_tokens() const override { return all_.num_tokens(); }
  void load(int64_t first, int64_t count, Batch& batch) const override;

 private:
  const EvaluationSet& all_;
  std::vector<int64_t> members_;
};

}  // namespace moe
