#include "data/audio/sound_file.h"

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "core/base/error.h"
#include "data/posix_file.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_images.h"
#include "tests/support/tiny_sounds.h"

using namespace moe;
using namespace moe::test;

TEST_CASE("WAV and FLAC files are read, and channels are averaged") {
  const TemporaryFolder folder;
  const std::vector<float> samples{0.5f, -0.25f, 0, 0.125f};
  write_bytes(folder / "a.wav", wav_bytes(samples, 8000));
  write_flac(folder / "a.flac", samples, 44100);
  write_bytes(folder / "two.wav", wav_bytes({0.5f, 0, -0.25f, 0.25f}, 16000, 2));
  const auto close = [](const std::vector<float>& found, const std::vector<float>& expected) {
    REQUIRE(found.size() == expected.size());
    for (size_t i = 0; i < found.size(); ++i) CHECK(found[i] == Approx(expected[i]).margin(1e-4));
  };
  const Sound wav = read_sound(folder / "a.wav", 1), flac = read_sound(folder / "a.flac", 1);
  CHECK(wav.rate == 8000);
  CHECK(flac.rate == 44100);
  close(wav.samples, samples);
  close(flac.samples, samples);
  close(read_sound(folder / "two.wav", 1).samples, {0.25f, 0});
  close(read_sound(folder / "a.wav", 2.0 / 8000).samples, {0.5f, -0.25f});  // the rest is not read
}

TEST_CASE("a file that is no sound, damaged, cut off or empty is refused with its name") {
  const TemporaryFolder folder;
  const std::string whole = wav_bytes(tone(440, 0.1), 16000);
  const auto refused = [&](const std::string& name, const std::string& bytes) {
    write_bytes(folder / name, bytes);
    try {
      read_sound(folder / name, 1);
    } catch (const DataError& error) {
      return std::string(error.what());
    }
    return std::string("accepted");
  };
  CHECK(refused("good.wav", whole) == "accepted");
  CHECK_THAT(refused("empty.wav", ""), Catch::Contains("empty.wav is empty"));
  CHECK_THAT(refused("text.wav", "not a sound at all, but some text"), Catch::Contains("text.wav is no WAV or FLAC file"));
  CHECK_THAT(refused("cut.wav", whole.substr(0, whole.size() / 2)), Catch::Contains("cut.wav is truncated"));
  CHECK_THAT(refused("head.wav", whole.substr(0, 20)), Catch::Contains("head.wav is truncated"));
  CHECK_THAT(refused("none.wav", wav_bytes({}, 16000)), Catch::Contains("none.wav holds no sound"));
  // A program that writes into a pipe cannot know the length.
  std::string streamed = whole;
  streamed.replace(4, 4, "\xFF\xFF\xFF\xFF");
  streamed.replace(40, 4, "\xFF\xFF\xFF\xFF");
  CHECK(refused("streamed.wav", streamed) == "accepted");
  write_flac(folder / "whole.flac", tone(440, 0.5), 16000);
  const std::string flac = read_text_file(folder / "whole.flac");
  CHECK_THAT(refused("cut.flac", flac.substr(0, flac.size() / 2)), Catch::Contains("cut.flac"));
  CHECK_THROWS_AS(read_sound(folder / "absent.wav", 1), DataError);
  // 32-bit floating point, with a number that is none.
  std::string floats = wav_bytes({0, 0, 0, 0}, 16000);
  floats[20] = 3, floats[32] = 4, floats[34] = 32;  // two samples of 4 bytes
  floats.replace(44, 4, std::string("\0\0\xC0\x7F", 4));
  CHECK_THAT(refused("nan.wav", floats), Catch::Contains("nan.wav holds a sample that is not a finite number"));
}

TEST_CASE("resampling keeps a tone and its length, and removes what is above the new range") {
  Sound sound{48000, tone(1000, 0.5, 48000)};
  const std::vector<float> lower = resampled(sound, 16000, "a");
  REQUIRE(lower.size() == 8000);
  double error = 0;
  const std::vector<float> expected = tone(1000, 0.5, 16000);
  for (size_t i = 1000; i < 7000; ++i) error = std::max(error, std::abs(static_cast<double>(lower[i] - expected[i])));
  CHECK(error < 1e-3);
  sound.samples = tone(12000, 0.5, 48000);
  const std::vector<float> removed = resampled(sound, 16000, "a");
  for (size_t i = 1000; i < 7000; ++i) CHECK(std::abs(removed[i]) < 1e-3);
  CHECK(resampled(sound, 48000, "a") == sound.samples);
  sound.rate = 768000;
  CHECK_THROWS_WITH(resampled(sound, 1000, "some.wav"), Catch::Contains("some.wav"));
}
