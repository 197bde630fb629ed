#include "data/mixture_sampler.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/base/check.h"
#include "core/base/integer.h"
#include "data/keyed_permutation.h"
#include "data/sampler.h"

namespace moe {

constexpr uint32_t kCountStream = 3, kPlaceStream = 4;  // other streams: data/sampler.cpp, data/held_out.cpp

MixtureSampler::MixtureSampler(MixtureSetup setup)
    : setup_(std::move(setup)), drawn_(setup_.samples.size()), of_step_(setup_.samples.size()) {
  int64_t first = 0;
  for (const int64_t samples : setup_.samples) {
    firsts_.push_back(first);
    first += samples;
  }
}

void MixtureSampler::counts(int64_t step, std::vector<int64_t>& counts) const {
  const int64_t corpora = std::ssize(setup_.samples);
  counts.resize(as_index(corpora));
  double total = 0;
  for (int64_t k = 0; k < corpora; ++k) total += setup_.weight(step, k);
  if (!(total > 0)) raise<UsageError>("data.mixture: the sum of the weights is {} at update {}", total, step + 1);
  const RandomKey key{setup_.seed, RandomPurpose::sampling, kCountStream, static_cast<uint64_t>(step)};
  const double shift = key.uniform(0), batch = static_cast<double>(setup_.batch);
  double sum = 0;
  int64_t before = 0;
  for (int64_t k = 0; k < corpora; ++k) {
    sum += setup_.weight(step, k);
    const int64_t until = k + 1 == corpora
                              ? setup_.batch
                              : std::min(setup_.batch, static_cast<int64_t>(std::floor(batch * (sum / total) + shift)));
    counts[as_index(k)] = until - before;
    before = until;
  }
}

void MixtureSampler::draw(int64_t step, std::span<SampleVisit> visits) {
  MOE_CHECK(std::ssize(visits) == setup_.batch, "{} visits of a batch of {}", visits.size(), setup_.batch);
  if (step < counted_) {
    counted_ = 0;
    std::fill(drawn_.begin(), drawn_.end(), 0);
  }
  for (; counted_ < step; ++counted_) {
    counts(counted_, of_step_);
    for (size_t k = 0; k < drawn_.size(); ++k) drawn_[k] += of_step_[k];
  }
  counts(step, of_step_);
  // Samples of a corpus are spread over the batch, so that ranks and micro-batches are alike.
  const KeyedPermutation place(setup_.batch,
                               {setup_.seed, RandomPurpose::sampling, kPlaceStream, static_cast<uint64_t>(step)});
  int64_t slot = 0;
  for (size_t k = 0; k < drawn_.size(); ++k) {
    const uint64_t seed = setup_.seed + k * 0x9E3779B97F4A7C15u;  // other orders for each corpus
    for (int64_t i = 0; i < of_step_[k]; ++i, ++slot) {
      const int64_t draw = drawn_[k] + i;
      visits[as_index(place(slot))] = {firsts_[k] + shuffled_sample(seed, setup_.samples[k], draw),
                                       draw / setup_.samples[k]};
    }
  }
}

}  // namespace moe
