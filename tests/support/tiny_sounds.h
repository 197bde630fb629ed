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

struct ToneClass {
  std::string name;
  double hertz;
};

// Writes folder/CLASS/N.wav: tones of about a class's frequency at 8 kHz in noise, 0.2 s long, that begin at places of
// their own; `each` of every class, one in six of which is listed for validation and one in six for testing.
void write_sound_folders(const std::string& folder, int64_t each, uint64_t seed = 1,
                         const std::vector<ToneClass>& classes = {{"high", 3600}, {"low", 400}, {"mid", 1200}});
// The same for classes "0" to "3", which are those of bright_quarters (tests/support/tiny_images.h).
void write_numbered_sounds(const std::string& folder, int64_t each);

}  // namespace moe::test
