// Chooses the samples of a step from several corpora, in shares that may change over the run.
#pragma once
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "data/batch_loader.h"

namespace moe {

struct MixtureSetup {
  std::vector<int64_t> samples;  // of each corpus
  int64_t batch = 0;             // samples of a step, over all ranks
  uint64_t seed = 0;
  // The weight of a corpus at a step, which is not negative; those of all corpora are divided by their sum.
  std::function<double(int64_t step, int64_t corpus)> weight;
};

// A pure function of (seed, step). The number of samples of a corpus in a step is its share of the batch, rounded up or
// down by systematic sampling (Madow, 1949): one uniform number of the step decides for all corpora, so that the
// expected number is exactly the share. Each corpus has its own epochs, in each of which every sample is drawn once, in
// another order. Samples are numbered over all corpora, in their order.
class MixtureSampler {
 public:
  explicit MixtureSampler(MixtureSetup setup);

  // Writes the samples of a step, counted from 0; visits.size() == batch. Drawing steps in order takes a time that does
  // not depend on the step; another step first counts the draws of all steps before it.
  void draw(int64_t step, std::span<SampleVisit> visits);
  // The number of samples of each corpus in a step.
  void counts(int64_t step, std::vector<int64_t>& counts) const;

 private:
  MixtureSetup setup_;
  std::vector<int64_t> firsts_;           // the number of each corpus's first sample
  int64_t counted_ = 0;                   // steps in drawn_
  std::vector<int64_t> drawn_, of_step_;  // numbers of draws of each corpus
};

}  // namespace moe
