#include "core/config/audio_config.h"

namespace moe {

void AudioConfig::fields(FieldVisitor& v) {
  v.field("rate", rate, "sampling rate in Hz; sounds with another rate are resampled", {1000, 192'000});
  v.field("seconds", seconds, "length of a sample in seconds: shorter sounds are followed by silence, longer ones cut",
          {0.01, 600});
  v.field("window", window, "length of the Hann window in milliseconds", {1, 1000});
  v.field("hop", hop, "milliseconds between the starts of two frames of the spectrogram", {0.5, 1000});
  v.field("bands", bands, "number of mel bands", {1, 512});
  v.field("lowest", lowest, "lowest frequency of the mel bands in Hz", {0, 96'000});
  v.field("highest", highest, "highest frequency of the mel bands in Hz; 0 = half of the sampling rate", {0, 96'000});
  v.field("range", range,
          "dynamic range of a spectrogram in decibels: quieter values are raised to this far below the loudest one",
          {10, 200});
}

}  // namespace moe
