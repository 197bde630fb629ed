// WAV and FLAC files, and the spectrogram of what they hold.
#include <vector>

#include "core/config/audio_config.h"
#include "data/audio/sound_file.h"
#include "data/audio/spectrogram.h"
#include "tests/fuzz/fuzz_target.h"
#include "tests/support/tiny_sounds.h"

namespace moe {

static void read_input(std::string_view input) {
  AudioConfig config;
  config.seconds = 0.1;
  static const Spectrogram spectrogram(config);
  const std::string path = scratch_file("sound", input);
  const Sound sound = read_sound(path, config.seconds);
  std::vector<uint8_t> values(static_cast<size_t>(spectrogram.frames() * spectrogram.bands()));
  spectrogram.bytes(resampled(sound, config.rate, path), values);
}

static std::vector<std::string> seeds() {
  const std::vector<float> samples = test::tone(440, 0.05);
  test::write_flac(scratch_folder() + "/seed.flac", samples, 22050);
  return {test::wav_bytes(samples, 16000), test::wav_bytes(samples, 8000, 2), test::wav_bytes({}, 16000),
          file_content(scratch_folder() + "/seed.flac")};
}

static const FuzzTarget target{"sound", read_input, seeds};

}  // namespace moe
