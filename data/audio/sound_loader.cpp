#include "data/audio/sound_loader.h"

namespace moe {

void SoundLoader::load(const SoundSplit& split, std::span<const SampleVisit> visits, const AugmentConfig& augment,
                       const AudioConfig& audio, uint64_t seed, Batch& batch) const {
  const SoundGrid& grid = patches_.grid();
  load_patches(
      visits, split.size(), {tokens_per_sample(), grid.patches(), grid.features()}, batch,
      [&](int64_t sample) { return split.label(sample); },
      [&](const SampleVisit& visit, std::span<float> patches) {
        patches_.cut(split.values(visit.sample),
                     SoundAugmentation::draw(augment, audio, grid.shape, seed, visit.sample, visit.epoch), patches);
      });
}

}  // namespace moe
