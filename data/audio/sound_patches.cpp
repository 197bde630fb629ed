#include "data/audio/sound_patches.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace moe {
namespace {

constexpr uint32_t kAugmentationStream = 17, kNoiseStream = 18;  // other streams: data/sampler.cpp, data/held_out.cpp
constexpr size_t kBytes = 256;

double decibels_of(size_t byte, double range) {
  return range * (static_cast<double>(byte) / 255 - 1);
}

// An exponential variable's quantiles in decibels relative to its mean, at the middles of equal intervals.
const std::array<float, kBytes>& fluctuations() {
  static const std::array<float, kBytes> table = [] {
    std::array<float, kBytes> values{};
    for (size_t i = 0; i < kBytes; ++i)
      values[i] = static_cast<float>(10 * std::log10(-std::log((static_cast<double>(i) + 0.5) / kBytes)));
    return values;
  }();
  return table;
}

// The level of the sum of two powers, in decibels, to 0.1: max + 10 log10(1 + 10^(-difference / 10)).
float sum_of(float a, float b) {
  constexpr size_t kSteps = 10, kMost = 30;  // per decibel; decibels beyond which the louder one is all
  static const std::array<float, kSteps* kMost> table = [] {
    std::array<float, kSteps * kMost> values{};
    for (size_t i = 0; i < values.size(); ++i)
      values[i] = static_cast<float>(10 * std::log10(1 + std::pow(10, -(static_cast<double>(i) + 0.5) / kSteps / 10)));
    return values;
  }();
  const auto place = static_cast<size_t>(std::abs(a - b) * kSteps);
  return std::max(a, b) + (place < table.size() ? table[place] : 0);
}

int64_t frames_of(double milliseconds, const AudioConfig& audio) {
  return std::llround(milliseconds / audio.hop);
}

}  // namespace

SoundGrid::SoundGrid(const SpectrogramShape& spectrogram, int64_t patch_frames, int64_t patch_bands)
    : shape(spectrogram), frames(patch_frames), bands(patch_bands) {
  if (shape.frames % frames != 0 || shape.bands % bands != 0) {
    raise<UsageError>(
        "model.patch_frames, model.patch_bands: patches of {} frames x {} bands do not divide spectrograms of {} x {}",
        frames, bands, shape.frames, shape.bands);
  }
}

SoundNormalisation SoundNormalisation::of(const SoundSplit& split, double range) {
  std::array<int64_t, kBytes> counts{};
  for (int64_t i = 0; i < split.size(); ++i) {
    for (const uint8_t value : split.values(i)) ++counts[value];
  }
  double count = 0, sum = 0, squares = 0;
  for (size_t byte = 0; byte < kBytes; ++byte) {
    const double n = static_cast<double>(counts[byte]), x = decibels_of(byte, range);
    count += n, sum += n * x, squares += n * x * x;
  }
  const double mean = sum / count, variance = squares / count - mean * mean;
  return {mean, variance > 1e-9 ? 1 / std::sqrt(variance) : 1};
}

SoundAugmentation SoundAugmentation::draw(const AugmentConfig& config, const AudioConfig& audio,
                                          const SpectrogramShape& shape, uint64_t seed, int64_t sample, int64_t epoch) {
  constexpr uint64_t kElements = 1 << 20;  // of a sample's noise
  const RandomKey key{seed, RandomPurpose::sampling, kAugmentationStream, static_cast<uint64_t>(epoch)};
  const auto words = key.words(static_cast<uint64_t>(2 * sample)),
             more = key.words(static_cast<uint64_t>(2 * sample + 1));
  const auto up_to = [](uint32_t word, int64_t most) {
    return static_cast<int64_t>(word % static_cast<uint64_t>(most + 1));
  };
  SoundAugmentation result;
  const int64_t shift = std::min(frames_of(config.time_shift, audio), shape.frames);
  result.later = up_to(words[0], 2 * shift) - shift;
  if (config.snr > 0) {
    result.has_noise = true;
    result.noise = -static_cast<float>(config.snr + unit_of(words[1]) * std::max(audio.range - config.snr, 0.0));
  }
  result.masked_frames = up_to(words[2], std::min(frames_of(config.mask_time, audio), shape.frames));
  result.first_frame = up_to(words[3], shape.frames - result.masked_frames);
  result.masked_bands = up_to(more[0], std::min(config.mask_bands, shape.bands));
  result.first_band = up_to(more[1], shape.bands - result.masked_bands);
  result.key = {seed, RandomPurpose::sampling, kNoiseStream, static_cast<uint64_t>(epoch)};
  result.first_element = static_cast<uint64_t>(sample) * kElements;
  return result;
}

SoundPatches::SoundPatches(SoundGrid grid, SoundNormalisation normalisation, double range)
    : grid_(grid), normalisation_(normalisation) {
  for (size_t byte = 0; byte < kBytes; ++byte) decibels_.push_back(static_cast<float>(decibels_of(byte, range)));
}

void SoundPatches::cut(std::span<const uint8_t> values, const SoundAugmentation& a, std::span<float> patches) const {
  const SpectrogramShape& shape = grid_.shape;
  const auto mean = static_cast<float>(normalisation_.mean), scale = static_cast<float>(normalisation_.scale);
  const int64_t across = shape.bands / grid_.bands;  // patches of one stretch of time
  std::array<uint32_t, 4> words{};
  for (int64_t frame = 0; frame < shape.frames; ++frame) {
    const int64_t from = frame - a.later;
    const bool inside = from >= 0 && from < shape.frames,
               masked = frame >= a.first_frame && frame < a.first_frame + a.masked_frames;
    for (int64_t band = 0; band < shape.bands; ++band) {
      const int64_t place = frame * shape.bands + band;
      float x = decibels_[inside ? values[as_index(from * shape.bands + band)] : 0];
      if (a.has_noise) {
        // A draw has 16 bytes, each for one value.
        if (place % 16 == 0) words = a.key.words(a.first_element + static_cast<uint64_t>(place / 16));
        x = sum_of(x, a.noise + fluctuations()[words[as_index(place % 16 / 4)] >> (8 * (place % 4)) & 0xFF]);
      }
      const bool hidden = masked || (band >= a.first_band && band < a.first_band + a.masked_bands);
      const int64_t patch = frame / grid_.frames * across + band / grid_.bands;
      patches[as_index(patch * grid_.features() + frame % grid_.frames * grid_.bands + band % grid_.bands)] =
          hidden ? 0 : (x - mean) * scale;
    }
  }
}

}  // namespace moe
