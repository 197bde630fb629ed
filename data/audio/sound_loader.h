// Labelled sounds -> the arrays of a batch.
#pragma once
#include "data/audio/sound_patches.h"
#include "data/batch_loader.h"

namespace moe {

class SoundLoader {
 public:
  // `leading`: tokens of a sample before its patches (a class token).
  SoundLoader(SoundPatches patches, int64_t leading) : patches_(std::move(patches)), leading_(leading) {}

  const SoundPatches& patches() const { return patches_; }
  int64_t leading() const { return leading_; }
  int64_t tokens_per_sample() const { return leading_ + patches_.grid().patches(); }

  // Loads visits[i] of the split, augmented. Samples past the split's end are ignored entirely: they have no label, and
  // all positions are padding.
  void load(const SoundSplit& split, std::span<const SampleVisit> visits, const AugmentConfig& augment,
            const AudioConfig& audio, uint64_t seed, Batch& batch) const;

 private:
  SoundPatches patches_;
  int64_t leading_;
};

}  // namespace moe
