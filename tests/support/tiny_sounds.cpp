#include "tests/support/tiny_sounds.h"

#include <fmt/core.h>
#include <sndfile.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <numbers>
#include <stdexcept>

#include "core/base/philox.h"
#include "tests/support/tiny_images.h"

namespace moe::test {

std::string wav_bytes(const std::vector<float>& samples, int64_t rate, int64_t channels) {
  std::string bytes;
  const auto number = [&](int64_t value, int count) {
    for (int i = 0; i < count; ++i) bytes += static_cast<char>(value >> (8 * i) & 0xFF);
  };
  const int64_t size = 2 * std::ssize(samples);
  bytes += "RIFF";
  number(36 + size, 4);
  bytes += "WAVEfmt ";
  number(16, 4), number(1, 2), number(channels, 2), number(rate, 4), number(2 * channels * rate, 4);
  number(2 * channels, 2), number(16, 2);
  bytes += "data";
  number(size, 4);
  for (const float x : samples) number(std::lround(std::clamp(x, -1.0f, 1.0f) * 32767), 2);
  return bytes;
}

void write_flac(const std::string& path, const std::vector<float>& samples, int64_t rate) {
  SF_INFO info{};
  info.samplerate = static_cast<int>(rate);
  info.channels = 1;
  info.format = SF_FORMAT_FLAC | SF_FORMAT_PCM_16;
  SNDFILE* file = sf_open(path.c_str(), SFM_WRITE, &info);
  if (!file || sf_writef_float(file, samples.data(), std::ssize(samples)) != std::ssize(samples))
    throw std::runtime_error("cannot write " + path);
  sf_close(file);
}

std::vector<float> tone(double hertz, double seconds, int64_t rate, double amplitude) {
  std::vector<float> samples;
  for (int64_t i = 0; i < std::llround(seconds * static_cast<double>(rate)); ++i) {
    samples.push_back(static_cast<float>(
        amplitude * std::sin(2 * std::numbers::pi * hertz * static_cast<double>(i) / static_cast<double>(rate))));
  }
  return samples;
}

void write_numbered_sounds(const std::string& folder, int64_t each) {
  write_sound_folders(folder, each, 1, {{"0", 300}, {"1", 700}, {"2", 1500}, {"3", 3200}});
}

void write_sound_folders(const std::string& folder, int64_t each, uint64_t seed,
                         const std::vector<ToneClass>& classes) {
  constexpr int64_t kRate = 8000;
  std::string validation, test;
  for (size_t label = 0; label < classes.size(); ++label) {
    std::filesystem::create_directories(fmt::format("{}/{}", folder, classes[label].name));
    for (int64_t i = 0; i < each; ++i) {
      const RandomKey key{seed, RandomPurpose::test, static_cast<uint32_t>(label), static_cast<uint64_t>(i)};
      std::vector<float> samples(static_cast<size_t>(key.words(1)[0] % 400));  // silence before the tone
      for (const float x : tone(classes[label].hertz * (0.9 + 0.2 * static_cast<double>(key.uniform(0))), 0.1, kRate))
        samples.push_back(x);
      samples.resize(1600);
      for (size_t s = 0; s < samples.size(); ++s) samples[s] += 0.02f * key.normal(10 + s);
      const std::string name = fmt::format("{}/{}.wav", classes[label].name, i);
      write_bytes(folder + "/" + name, wav_bytes(samples, kRate));
      if (i % 6 == 4) validation += name + "\n";
      if (i % 6 == 5) test += name + "\n";
    }
  }
  write_bytes(folder + "/validation_list.txt", validation);
  write_bytes(folder + "/testing_list.txt", test);
}

}  // namespace moe::test
