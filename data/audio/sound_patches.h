// Spectrograms -> normalised patches, which are a transformer's tokens, and their augmentation in training.
#pragma once
#include <span>
#include <vector>

#include "core/base/philox.h"
#include "data/audio/sound_corpus.h"

namespace moe {

struct SoundGrid {
  SpectrogramShape shape;
  int64_t frames = 0, bands = 0;  // of a patch

  // Throws UsageError when patches do not divide the spectrogram.
  SoundGrid(const SpectrogramShape& spectrogram, int64_t patch_frames, int64_t patch_bands);
  int64_t patches() const { return (shape.frames / frames) * (shape.bands / bands); }
  int64_t features() const { return frames * bands; }
};

// The mean that is subtracted from a spectrogram's decibels (0 is the loudest value), and the factor by which they are
// then multiplied.
struct SoundNormalisation {
  double mean = 0, scale = 1;
  // Computed so that the split's values get mean 0 and variance 1.
  static SoundNormalisation of(const SoundSplit& split, double range);
};

// The augmentation of a spectrogram, in this order: shifted in time, with silence from outside; white noise added; a
// stretch of time and adjacent bands replaced by the mean (D. Park et al., "SpecAugment", arXiv 1904.08779).
struct SoundAugmentation {
  int64_t later = 0;  // frames
  bool has_noise = false;
  float noise = 0;  // its mean level, in decibels relative to the loudest value
  int64_t first_frame = 0, masked_frames = 0, first_band = 0, masked_bands = 0;
  // Of the noise's fluctuations. A value of the noise is the power of a complex Gaussian number, exponentially
  // distributed; that neighbouring values share samples is not modelled.
  RandomKey key{};
  uint64_t first_element = 0;

  // Depends only on its arguments.
  static SoundAugmentation draw(const AugmentConfig& config, const AudioConfig& audio, const SpectrogramShape& shape,
                                uint64_t seed, int64_t sample, int64_t epoch);
};

class SoundPatches {
 public:
  SoundPatches(SoundGrid grid, SoundNormalisation normalisation, double range);

  const SoundGrid& grid() const { return grid_; }
  const SoundNormalisation& normalisation() const { return normalisation_; }
  // values (frames, bands) -> patches (patches, features): those of the first frames come first, from low to high
  // bands; each patch has the layout (frames, bands)
  void cut(std::span<const uint8_t> values, const SoundAugmentation& augmentation, std::span<float> patches) const;

 private:
  SoundGrid grid_;
  SoundNormalisation normalisation_;
  std::vector<float> decibels_;  // of each byte
};

}  // namespace moe
