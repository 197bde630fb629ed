// Small labelled sounds as files, for tests that read them or train on them.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace moe::test {

// A WAV file of 16 bits; `samples` (frames, channels) in [-1, 1].
std::string wav_bytes(const std::vector<float>& samples, int64_t rate, int64_t channels = 1);
// A FLAC file of 16 bits, written by libsndfile.
void write_flac(const std::string& path, const std::vector<float>& samples, int64_t rate);

// A tone of `hertz`.
std::vector<float> tone(double hertz, double seconds, int64_t rate = 16000, double amplitude = 0.5);

// Writes folder/CLASS/N.wav for the classes low, mid and high: tones of about 400, 1200 and 3600 Hz at 8 kHz in noise,
// 0.2 s long, that begin at places of their own; `each` of every class, one in six of which is listed for validation
// and one in six for testing.
void write_sound_folders(const std::string& folder, int64_t each, uint64_t seed = 1);

}  // namespace moe::test
