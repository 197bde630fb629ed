// Log-mel spectrograms (FFTW). A frame is the power spectrum of a Hann window, summed by the mel filters; the window of
// frame i is centred in the i-th hop, and outside of the sound is silence. The transform has the smallest power of two
// of samples that holds the window. Values are decibels below the spectrogram's loudest one, so the loudness of a
// recording has no effect.
#pragma once
#include <memory>
#include <span>
#include <vector>

#include "core/config/audio_config.h"
#include "data/audio/mel_filters.h"

namespace moe {

class Spectrogram {
 public:
  // Throws UsageError for settings that give no frame.
  explicit Spectrogram(const AudioConfig& config);
  ~Spectrogram();

  int64_t frames() const { return frames_; }
  int64_t bands() const { return filters_.bands(); }
  int64_t window() const { return static_cast<int64_t>(hann_.size()); }  // in samples
  int64_t hop() const { return hop_; }                                   // in samples

  // samples at the configured rate, followed by silence or cut -> mel power (frames, bands). May be called by several
  // threads at once.
  void power(std::span<const float> samples, std::span<float> mel) const;
  // The same as bytes: 255 is the loudest value, 0 is `range` decibels below it or quieter, in equal steps of decibels
  // between. Silence is 0.
  void bytes(std::span<const float> samples, std::span<uint8_t> values) const;

 private:
  struct Transform;

  int64_t hop_, frames_, fft_;
  double range_;
  std::vector<float> hann_;
  MelFilters filters_;
  std::unique_ptr<const Transform> transform_;
};

}  // namespace moe
