#include "data/audio/sound_patches.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "core/base/error.h"
#include "data/audio/sound_loader.h"
#include "tests/support/catch.h"

using namespace moe;

// A split of `sounds` spectrograms of 4 frames x 6 bands with values of their own.
static SoundSplit some_sounds(int64_t sounds) {
  SoundSplit split("some", {4, 6});
  for (int64_t s = 0; s < sounds; ++s) {
    std::vector<uint8_t> values;
    for (int64_t i = 0; i < 24; ++i) values.push_back(static_cast<uint8_t>(10 * i + s));
    split.add(values, static_cast<int32_t>(s % 3), static_cast<uint64_t>(s));
  }
  return split;
}

// The normalisation that gives bytes back, with a range of 255 dB.
static const SoundNormalisation kBytes{-255, 1};

TEST_CASE("patches of a spectrogram follow time first, from low to high bands") {
  const SoundSplit split = some_sounds(1);
  const SoundPatches patches(SoundGrid({4, 6}, 2, 3), kBytes, 255);
  CHECK(patches.grid().patches() == 4);
  CHECK(patches.grid().features() == 6);
  std::vector<float> cut(24);
  patches.cut(split.values(0), {}, cut);
  CHECK(cut == std::vector<float>{0,   10,  20,  60,  70,  80,  30,  40,  50,  90,  100, 110,
                                  120, 130, 140, 180, 190, 200, 150, 160, 170, 210, 220, 230});
  CHECK_THROWS_WITH(SoundGrid({4, 6}, 3, 3), Catch::Contains("model.patch_frames"));
  CHECK_THROWS_AS(SoundGrid({4, 6}, 2, 4), UsageError);
}

TEST_CASE("a shift moves a spectrogram in time with silence from outside, masks are the mean") {
  const SoundSplit split = some_sounds(1);
  const SoundPatches patches(SoundGrid({4, 6}, 1, 6), kBytes, 255);
  std::vector<float> cut(24);
  SoundAugmentation later;
  later.later = 1;
  patches.cut(split.values(0), later, cut);
  CHECK(cut[0] == 0);
  CHECK(cut[6] == 0);  // the first value of frame 0 is 0 itself
  CHECK(cut[7] == 10);
  CHECK(cut[23] == 170);
  SoundAugmentation masked;
  masked.first_frame = 1, masked.masked_frames = 2, masked.first_band = 4, masked.masked_bands = 1;
  SoundPatches(SoundGrid({4, 6}, 1, 6), {-100, 1}, 255).cut(split.values(0), masked, cut);
  for (size_t i = 0; i < 24; ++i) {
    const bool hidden = i / 6 == 1 || i / 6 == 2 || i % 6 == 4;
    CHECK(cut[i] == (hidden ? 0 : static_cast<float>(10 * i) - 155));
  }
}

TEST_CASE("normalised values have mean 0 and variance 1") {
  const SoundSplit split = some_sounds(7);
  const SoundPatches patches(SoundGrid({4, 6}, 2, 2), SoundNormalisation::of(split, 80), 80);
  std::vector<float> cut(24);
  double sum = 0, squares = 0;
  for (int64_t i = 0; i < split.size(); ++i) {
    patches.cut(split.values(i), {}, cut);
    for (const float x : cut) sum += static_cast<double>(x), squares += static_cast<double>(x) * static_cast<double>(x);
  }
  CHECK(sum / 168 == Approx(0).margin(1e-5));
  CHECK(squares / 168 == Approx(1).epsilon(1e-5));
  SoundSplit flat("flat", {1, 1});
  flat.add(std::vector<uint8_t>{7}, 0, 0);
  CHECK(SoundNormalisation::of(flat, 80).scale == 1);
}

TEST_CASE("added noise has its mean power, and adds to the power of the sound") {
  SoundSplit split("loud", {100, 80});
  split.add(std::vector<uint8_t>(8000, 0), 0, 0);  // silence, 200 dB below
  const SoundPatches patches(SoundGrid({100, 80}, 10, 16), {0, 1}, 200);
  AugmentConfig config;
  config.snr = 20;
  AudioConfig audio;
  audio.range = 20;  // the only level
  std::vector<float> cut(8000);
  const auto mean_power = [&] {
    double sum = 0;
    for (const float x : cut) sum += std::pow(10, static_cast<double>(x) / 10);
    return sum / 8000;
  };
  patches.cut(split.values(0), SoundAugmentation::draw(config, audio, {100, 80}, 1, 5, 2), cut);
  CHECK(10 * std::log10(mean_power()) == Approx(-20).margin(0.3));
  const std::vector<float> first = cut;
  patches.cut(split.values(0), SoundAugmentation::draw(config, audio, {100, 80}, 1, 5, 2), cut);
  CHECK(cut == first);
  patches.cut(split.values(0), SoundAugmentation::draw(config, audio, {100, 80}, 1, 5, 3), cut);
  CHECK(cut != first);
  SoundSplit even("even", {100, 80});
  even.add(std::vector<uint8_t>(8000, 255), 0, 0);  // 0 dB
  patches.cut(even.values(0), SoundAugmentation::draw(config, audio, {100, 80}, 1, 5, 2), cut);
  CHECK(10 * std::log10(mean_power()) == Approx(10 * std::log10(1.01)).margin(0.01));
}

TEST_CASE("augmentation is a function of seed, sample and epoch, and covers its ranges") {
  AugmentConfig config;
  config.time_shift = 30, config.mask_time = 50, config.mask_bands = 4, config.snr = 10;
  const AudioConfig audio;
  std::set<int64_t> shifts, frames, bands;
  int64_t others = 0;
  for (int64_t sample = 0; sample < 400; ++sample) {
    const auto draw = [&](int64_t epoch) {
      return SoundAugmentation::draw(config, audio, {100, 80}, 1, sample, epoch);
    };
    const SoundAugmentation a = draw(3), again = draw(3), later = draw(4);
    CHECK((a.later == again.later && a.noise == again.noise && a.first_frame == again.first_frame &&
           a.masked_bands == again.masked_bands));
    others += a.later != later.later || a.noise != later.noise;
    shifts.insert(a.later), frames.insert(a.masked_frames), bands.insert(a.masked_bands);
    CHECK((a.first_frame >= 0 && a.first_frame + a.masked_frames <= 100));
    CHECK((a.first_band >= 0 && a.first_band + a.masked_bands <= 80));
    CHECK((a.has_noise && a.noise <= -10 && a.noise >= -80));
  }
  CHECK(others == 400);
  CHECK(shifts == std::set<int64_t>{-3, -2, -1, 0, 1, 2, 3});
  CHECK(frames == std::set<int64_t>{0, 1, 2, 3, 4, 5});
  CHECK(bands == std::set<int64_t>{0, 1, 2, 3, 4});
  const SoundAugmentation none = SoundAugmentation::draw({}, audio, {100, 80}, 1, 2, 3);
  CHECK((none.later == 0 && !none.has_noise && none.masked_frames == 0 && none.masked_bands == 0));
}

TEST_CASE("the loader fills a batch of sounds; samples past the end are all padding") {
  const SoundSplit split = some_sounds(3);
  const SoundLoader loader(SoundPatches(SoundGrid({4, 6}, 2, 3), kBytes, 255), 1);
  CHECK(loader.tokens_per_sample() == 5);
  Batch batch;
  const std::vector<SampleVisit> visits{{1, 0}, {3, 0}, {0, 7}};
  loader.load(split, visits, {}, {}, 1, batch);
  CHECK(batch.sequences == 3);
  CHECK(batch.length == 5);
  CHECK(batch.patch_features == 6);
  CHECK(batch.inputs.empty());
  CHECK(batch.labels == std::vector<int32_t>{1, kIgnoreTarget, 0});
  for (size_t t = 0; t < 15; ++t) CHECK(batch.targets[t] == (t / 5 == 1 ? kIgnoreTarget : 0));
  REQUIRE(batch.features.size() == 72);
  CHECK(batch.features[1] == 11);
  CHECK(batch.features[24 + 5] == 0);
  CHECK(batch.features[48 + 1] == 10);
}
