#include "data/audio/sound_loader.h"

#include <algorithm>

namespace moe {

void SoundLoader::load(const SoundSplit& split, std::span<const SampleVisit> visits, const AugmentConfig& augment,
                       const AudioConfig& audio, uint64_t seed, Batch& batch) const {
  const SoundGrid& grid = patches_.grid();
  const int64_t time = tokens_per_sample(), numbers = grid.patches() * grid.features();
  batch.resize_labelled(std::ssize(visits), time, numbers);
  batch.patch_features = grid.features();
  for (size_t i = 0; i < visits.size(); ++i) {
    const int64_t sample = visits[i].sample;
    const bool exists = sample < split.size();
    const auto targets = std::span(batch.targets).subspan(i * as_index(time), as_index(time));
    const auto patches = std::span(batch.features).subspan(i * as_index(numbers), as_index(numbers));
    std::fill(targets.begin(), targets.end(), exists ? 0 : kIgnoreTarget);
    batch.labels[i] = exists ? split.label(sample) : kIgnoreTarget;
    batch.sample_ids[i] = sample;
    if (exists) {
      patches_.cut(split.values(sample),
                   SoundAugmentation::draw(augment, audio, grid.shape, seed, sample, visits[i].epoch), patches);
    } else {
      std::fill(patches.begin(), patches.end(), 0.0f);
    }
  }
}

}  // namespace moe
