#include "data/audio/sound_file.h"

#include <samplerate.h>
#include <sndfile.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string_view>
#include <system_error>

#include "core/base/check.h"
#include "core/base/integer.h"

namespace moe {
namespace {

constexpr int64_t kBlock = 4096;  // frames that are read at once
constexpr int kMostChannels = 64;

struct CloseFile {
  void operator()(SNDFILE* file) const { sf_close(file); }
};

// Refuses what is neither WAV nor FLAC before libsndfile looks for other formats in it, which it does in MP3's decoder
// too. libsndfile reads a WAV file that was cut off as one that is shorter, but its header says how long it was.
// Programs that write into a pipe leave 0 or a number near the greatest there, and some count the 8 bytes before it
// too.
void check_head(const std::string& path, uint64_t bytes) {
  constexpr uint64_t kUnknown = 0x7FFFF000;
  std::array<char, 12> head{};
  std::ifstream file(path, std::ios::binary);
  file.read(head.data(), head.size());
  const std::string_view start(head.data(), head.size());
  if (start.starts_with("fLaC")) return;
  if (!start.starts_with("RIFF") || start.substr(8) != "WAVE")
    raise<DataError>("{} is no WAV or FLAC file: it begins with neither RIFF and WAVE nor fLaC", path);
  uint64_t length = 0;
  for (size_t i = 4; i-- > 0;) length = length << 8 | static_cast<unsigned char>(head[4 + i]);
  if (length > 0 && length < kUnknown && length > bytes)
    raise<DataError>("{} is truncated: {} bytes; expected {} by its header", path, bytes, length + 8);
}

}  // namespace

Sound read_sound(const std::string& path, double seconds) {
  std::error_code error;
  const uint64_t bytes = std::filesystem::file_size(path, error);
  if (error) raise<DataError>("{}: {}", path, error.message());
  if (bytes == 0) raise<DataError>("{} is empty; expected a WAV or FLAC file", path);
  check_head(path, bytes);
  SF_INFO info{};
  const std::unique_ptr<SNDFILE, CloseFile> file(sf_open(path.c_str(), SFM_READ, &info));
  const int type = info.format & SF_FORMAT_TYPEMASK;
  if (!file || (type != SF_FORMAT_WAV && type != SF_FORMAT_WAVEX && type != SF_FORMAT_FLAC)) {
    raise<DataError>("{} is damaged or not a WAV or FLAC file{}{}", path, file ? "" : ": ",
                     file ? "" : sf_strerror(nullptr));
  }
  if (info.channels < 1 || info.channels > kMostChannels || info.samplerate < 1) {
    raise<DataError>("{}: {} channels of {} Hz; expected 1 to {} channels", path, info.channels, info.samplerate,
                     kMostChannels);
  }
  const auto wanted = static_cast<int64_t>(
      std::min(std::ceil(seconds * info.samplerate), static_cast<double>(std::max<sf_count_t>(info.frames, 0))));
  Sound sound{info.samplerate, {}};
  std::vector<float> block(as_index(kBlock * info.channels));
  for (int64_t missing = wanted; missing > 0;) {
    const int64_t read = sf_readf_float(file.get(), block.data(), std::min(missing, kBlock));
    if (read <= 0 || sf_error(file.get()) != SF_ERR_NO_ERROR) {
      raise<DataError>("{} is truncated or damaged: {} samples can be read; expected {}", path, wanted - missing,
                       info.frames);
    }
    for (int64_t i = 0; i < read; ++i) {
      double sum = 0;
      for (int channel = 0; channel < info.channels; ++channel)
        sum += static_cast<double>(block[as_index(i * info.channels + channel)]);
      sound.samples.push_back(static_cast<float>(sum / info.channels));
    }
    missing -= read;
  }
  if (sound.samples.empty()) raise<DataError>("{} holds no sound: 0 samples", path);
  const auto is_bad = [](float x) { return !std::isfinite(x); };
  if (std::any_of(sound.samples.begin(), sound.samples.end(), is_bad))
    raise<DataError>("{} holds a sample that is not a finite number", path);
  return sound;
}

std::vector<float> resampled(const Sound& sound, int64_t rate, const std::string& origin) {
  if (sound.rate == rate) return sound.samples;
  const double ratio = static_cast<double>(rate) / static_cast<double>(sound.rate);
  if (src_is_valid_ratio(ratio) == 0)
    raise<DataError>("{}: a sampling rate of {} Hz cannot be changed to data.audio.rate: {}", origin, sound.rate, rate);
  std::vector<float> result(
      as_index(std::max<int64_t>(1, std::llround(ratio * static_cast<double>(sound.samples.size())))));
  SRC_DATA task{};
  task.data_in = sound.samples.data();
  task.input_frames = std::ssize(sound.samples);
  task.data_out = result.data();
  task.output_frames = std::ssize(result);
  task.src_ratio = ratio;
  if (const int error = src_simple(&task, SRC_SINC_FASTEST, 1))
    raise<DataError>("{}: resampling failed: {}", origin, src_strerror(error));
  return result;
}

}  // namespace moe
