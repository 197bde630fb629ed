#include "data/audio/spectrogram.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "core/base/error.h"
#include "core/base/integer.h"
#include "core/base/json.h"
#include "core/base/json_text.h"
#include "data/posix_file.h"
#include "tests/support/catch.h"
#include "tests/support/tiny_run.h"
#include "tests/support/tiny_sounds.h"

using namespace moe;
using namespace moe::test;

static Json golden() {
  return parse_json(read_text_file(MOE_GOLDEN_AUDIO));
}

static AudioConfig audio(const std::string& yaml) {
  return config_from("{data: {audio: " + yaml + "}}").data.audio;
}

TEST_CASE("the mel scale is Slaney's: linear below 1 kHz, logarithmic above, and can be inverted") {
  CHECK(mel_of(200) == Approx(3));
  CHECK(mel_of(1000) == Approx(15));
  CHECK(mel_of(6400) == Approx(42));
  for (const double hertz : {0.0, 20.0, 999.0, 1000.0, 1001.0, 7999.0}) CHECK(hertz_of(mel_of(hertz)) == Approx(hertz));
}

TEST_CASE("mel filters equal those of librosa") {
  const Json expected = golden();
  const MelFilters filters(80, 20, 8000, 512, 16000);
  std::vector<float> power(257), mel(80);
  for (size_t place = 0; place < power.size(); ++place) {
    std::fill(power.begin(), power.end(), 0.0f);
    power[place] = 1;
    filters.apply(power, mel);
    for (size_t band = 0; band < mel.size(); ++band) {
      const Json& row = expected.at("filters")[band];
      const auto first = row.at("first").get<size_t>();
      const bool inside = place >= first && place - first < row.at("weights").size();
      const double weight = inside ? row.at("weights")[place - first].get<double>() : 0;
      CHECK(static_cast<double>(mel[band]) == Approx(weight).margin(1e-8));
    }
  }
}

TEST_CASE("frequencies and numbers of bands that make no filters are refused") {
  CHECK_THROWS_WITH(MelFilters(80, 4000, 4000, 512, 16000), Catch::Contains("lowest < highest"));
  CHECK_THROWS_WITH(MelFilters(80, 20, 8001, 512, 16000), Catch::Contains("half of the rate"));
  CHECK_THROWS_WITH(MelFilters(256, 20, 8000, 512, 16000), Catch::Contains("data.audio.bands"));
  CHECK_THROWS_AS(Spectrogram(audio("{hop: 0.5, rate: 1000, highest: 500}")), UsageError);  // rounds to half a sample
  CHECK_THROWS_WITH(Spectrogram(audio("{seconds: 0.01, hop: 20}")), Catch::Contains("data.audio.seconds"));
}

TEST_CASE("a spectrogram equals one computed with numpy, scipy and librosa") {
  const Json expected = golden();
  const Spectrogram spectrogram(audio("{seconds: 0.2}"));
  REQUIRE(spectrogram.frames() == 20);
  std::vector<float> samples;
  for (int64_t i = 0; i < 3200; ++i) {
    const double t = static_cast<double>(i) / 16000, turn = 2 * std::numbers::pi;
    samples.push_back(
        static_cast<float>(0.5 * std::sin(turn * (200 * t + 2000 * t * t)) + 0.1 * std::sin(turn * 5000 * t)));
  }
  std::vector<float> mel(20 * 80);
  spectrogram.power(samples, mel);
  const double largest = expected.at("largest").get<double>();
  CHECK(static_cast<double>(*std::max_element(mel.begin(), mel.end())) == Approx(largest).epsilon(1e-4));
  for (const char* frame : {"0", "1", "7", "12", "19"}) {
    const size_t row = std::stoul(frame);
    for (size_t band = 0; band < 80; ++band) {
      const double value = expected.at("frames").at(frame)[band].get<double>();
      CHECK(static_cast<double>(mel[row * 80 + band]) == Approx(value).epsilon(1e-3).margin(1e-7 * largest));
    }
  }
}

TEST_CASE("a pure tone is loudest in the band whose centre is nearest, at every time") {
  const Spectrogram spectrogram(audio("{seconds: 0.5}"));
  const Json centres = golden().at("centres");
  std::vector<uint8_t> values(as_index(spectrogram.frames() * 80));
  for (const double hertz : {300.0, 1000.0, 2500.0, 6000.0}) {
    spectrogram.bytes(tone(hertz, 0.5), values);
    size_t nearest = 0;
    for (size_t band = 0; band < 80; ++band) {
      if (std::abs(centres[band].get<double>() - hertz) < std::abs(centres[nearest].get<double>() - hertz))
        nearest = band;
    }
    for (size_t frame = 2; frame < 48; ++frame) {
      const auto row = values.begin() + static_cast<std::ptrdiff_t>(frame * 80);
      CHECK(std::abs(std::max_element(row, row + 80) - row - static_cast<std::ptrdiff_t>(nearest)) <= 1);
    }
  }
}

TEST_CASE("bytes are decibels below the loudest value, so loudness does not matter, and silence is 0") {
  const Spectrogram spectrogram(audio("{seconds: 0.3, range: 60}"));
  std::vector<uint8_t> loud(as_index(spectrogram.frames() * 80)), quiet(loud), none(loud);
  spectrogram.bytes(tone(1000, 0.1, 16000, 0.8), loud);
  spectrogram.bytes(tone(1000, 0.1, 16000, 0.08), quiet);
  int64_t largest = 0;
  for (size_t i = 0; i < loud.size(); ++i) largest = std::max<int64_t>(largest, std::abs(loud[i] - quiet[i]));
  CHECK(largest <= 1);
  CHECK(*std::max_element(loud.begin(), loud.end()) == 255);
  CHECK(std::all_of(loud.end() - 10 * 80, loud.end(), [](uint8_t x) { return x == 0; }));  // after the tone
  spectrogram.bytes(std::vector<float>(1000), none);
  CHECK(std::all_of(none.begin(), none.end(), [](uint8_t x) { return x == 0; }));
  // The steps: a tone of half the amplitude is 6.02 dB lower.
  std::vector<float> two = tone(1000, 0.3);
  for (size_t i = two.size() / 2; i < two.size(); ++i) two[i] /= 2;
  spectrogram.bytes(two, loud);
  const auto loudest = [&](size_t frame) {
    const auto row = loud.begin() + static_cast<std::ptrdiff_t>(frame * 80);
    return static_cast<double>(*std::max_element(row, row + 80));
  };
  CHECK((loudest(7) - loudest(23)) * 60 / 255 == Approx(6.02).margin(0.3));
}
