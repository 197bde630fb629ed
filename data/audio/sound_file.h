// Reading of WAV and FLAC files (libsndfile).
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace moe {

struct Sound {
  int64_t rate = 0;            // in Hz
  std::vector<float> samples;  // in [-1, 1]; the mean of the channels
};

// Reads at most the first `seconds`. Throws DataError that names the file when it is neither WAV nor FLAC, damaged,
// truncated or empty, or holds a number that is not finite.
Sound read_sound(const std::string& path, double seconds);

// The sound at another sampling rate (libsamplerate's SRC_SINC_FASTEST: 97 dB signal to noise, 80 % of the bandwidth).
// Throws DataError that names `origin` for rates that differ by more than a factor of 256.
std::vector<float> resampled(const Sound& sound, int64_t rate, const std::string& origin);

}  // namespace moe
