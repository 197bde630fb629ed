#include "data/audio/sound_corpus.h"

#include <algorithm>
#include <filesystem>
#include <set>

#include "core/base/error.h"
#include "data/audio/spectrogram.h"
#include "data/labelled_format.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_images.h"
#include "tests/support/tiny_run.h"
#include "tests/support/tiny_sounds.h"

using namespace moe;
using namespace moe::test;
namespace fs = std::filesystem;

static DataConfig data(const std::string& path, const std::string& more = "") {
  return config_from(
             fmt::format("{{task: classify, data: {{path: {}, audio: {{seconds: 0.2, rate: 8000, bands: 16}}{}}}}}",
                         path, more))
      .data;
}

TEST_CASE("sounds are read by class, with the splits of the two lists") {
  const TemporaryFolder folder;
  write_sound_folders(folder.path(), 12);
  fs::create_directories(folder / "_background_noise_");
  write_bytes(folder / "_background_noise_/hum.wav", wav_bytes(tone(50, 1), 16000));
  write_bytes(folder / "low/README.md", "no sound");
  CHECK(labelled_format(data(folder.path())).name == std::string("sound_folders"));
  const SoundFolders folders = read_sound_folders(folder.path());
  CHECK(folders.classes == std::vector<std::string>{"high", "low", "mid"});
  CHECK(folders.train.size() == 24);
  CHECK(folders.validation.size() == 6);
  CHECK(folders.test.size() == 6);
  std::set<int32_t> first;
  for (size_t i = 0; i < 8; ++i) first.insert(folders.train[i].label);
  CHECK(first.size() == 3);  // the leading sounds are of all classes

  const SoundCorpus corpus = SoundCorpus::open(data(folder.path()));
  CHECK(corpus.shape() == SpectrogramShape{20, 16});
  CHECK(corpus.split("train").size() == 24);
  CHECK(corpus.split("validation").size() == 6);
  CHECK(corpus.split("test").size() == 6);
  CHECK(corpus.class_counts().counts == std::vector<int64_t>{8, 8, 8});
  CHECK(corpus.memory_bytes() == 36 * (20 * 16 + 12));
  CHECK_FALSE(corpus.has_split("dev"));
  // A sound's values are those of its file.
  const Spectrogram spectrogram(data(folder.path()).audio);
  const SoundSplit& train = corpus.split("train");
  for (int64_t i = 0; i < train.size(); ++i) {
    const auto values = train.values(i);
    const auto band = (std::max_element(values.begin(), values.end()) - values.begin()) % 16;
    INFO(band);
    CHECK(train.label(i) == (band > 12 ? 0 : band < 5 ? 1 : 2));  // the classes are high, low, mid
  }
}

TEST_CASE("sounds of chosen classes are numbered in the chosen order") {
  const TemporaryFolder folder;
  write_sound_folders(folder.path(), 12);
  const SoundCorpus corpus = SoundCorpus::open(data(folder.path(), ", labelled: {classes: [mid, high]}"));
  CHECK(corpus.classes() == std::vector<std::string>{"mid", "high"});
  CHECK(corpus.class_counts().counts == std::vector<int64_t>{8, 8});
  const SoundSplit& test = corpus.split("test");
  REQUIRE(test.size() == 4);
  for (int64_t i = 0; i < test.size(); ++i) {
    const auto values = test.values(i);
    const auto band = (std::max_element(values.begin(), values.end()) - values.begin()) % 16;
    CHECK(test.label(i) == (band > 12 ? 1 : 0));
  }
  CHECK_THROWS_AS(SoundCorpus::open(data(folder.path(), ", labelled: {classes: [mid, shrill]}")), DataError);
}

TEST_CASE("without a list validation sounds are drawn, and there may be no test split") {
  const TemporaryFolder folder;
  write_sound_folders(folder.path(), 12);
  fs::remove(folder / "validation_list.txt");
  fs::remove(folder / "testing_list.txt");
  const SoundCorpus corpus = SoundCorpus::open(data(folder.path(), ", labelled: {validation: 5}"));
  CHECK(corpus.split("train").size() == 31);
  CHECK(corpus.split("validation").size() == 5);
  CHECK_FALSE(corpus.has_split("test"));
  CHECK_THROWS_AS(SoundCorpus::open(data(folder.path(), ", labelled: {validation: 36}")), UsageError);
}

TEST_CASE("a split's hash is that of its samples and labels, not of its spectrograms' settings") {
  const TemporaryFolder folder, other;
  write_sound_folders(folder.path(), 6, 1);
  write_sound_folders(other.path(), 6, 2);
  const auto hash = [&](const DataConfig& config) { return SoundCorpus::open(config).split("train").content_hash(); };
  DataConfig wide = data(folder.path());
  wide.audio.bands = 8;
  CHECK(hash(data(folder.path())) == hash(data(folder.path())));
  CHECK(hash(data(folder.path())) == hash(wide));
  CHECK(hash(data(folder.path())) != hash(data(other.path())));
}

TEST_CASE("faults of a folder of sounds are reported with the file") {
  const TemporaryFolder folder;
  const auto refused = [&] {
    try {
      SoundCorpus::open(data(folder.path(), ", labelled: {validation: 0}"));
    } catch (const DataError& error) {
      return std::string(error.what());
    }
    return std::string("accepted");
  };
  CHECK_THAT(refused(), Catch::Contains("no labelled samples of a known format"));
  write_sound_folders(folder.path(), 6);
  CHECK(refused() == "accepted");
  write_bytes(folder / "testing_list.txt", "low/0.wav\nlow/absent.wav\n");
  CHECK_THAT(refused(), Catch::Contains("testing_list.txt:2") && Catch::Contains("low/absent.wav"));
  write_bytes(folder / "testing_list.txt", "low/0.wav\nlow/0.wav\n");
  CHECK_THAT(refused(), Catch::Contains("testing_list.txt:2"));
  write_bytes(folder / "testing_list.txt", "low/4.wav\n");  // a file for validation
  CHECK_THAT(refused(), Catch::Contains("testing_list.txt:1"));
  fs::remove(folder / "testing_list.txt");
  write_bytes(folder / "mid/short.wav", wav_bytes(tone(440, 0.01, 8000), 8000));
  CHECK_THAT(refused(), Catch::Contains("mid/short.wav is too short: 10.0 ms"));
  write_bytes(folder / "mid/short.wav", "");
  CHECK_THAT(refused(), Catch::Contains("mid/short.wav is empty"));
}
