#include "data/images/image_corpus.h"
#include "data/images/image_noise.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <string>

#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_images.h"

using namespace moe;
using namespace moe::test;

static DataConfig config_for(const std::string& folder, int64_t validation) {
  DataConfig config;
  config.path = folder;
  config.labelled.validation = validation;
  return config;
}

static std::multiset<std::string> images(const ImageSplit& split) {
  std::multiset<std::string> result;
  for (int64_t i = 0; i < split.size(); ++i) {
    std::string one(split.image(i).begin(), split.image(i).end());
    one.push_back(static_cast<char>(split.label(i)));
    result.insert(one);
  }
  return result;
}

TEST_CASE("validation is drawn from the training images by its own seed; the splits contain the files' images") {
  TemporaryFolder folder;
  const ImageSet train = bright_quarters(40, 4, 1), test = bright_quarters(12, 4, 2);
  write_idx_folder(folder.path(), train, test);
  const ImageCorpus corpus = ImageCorpus::open(config_for(folder.path(), 10));
  CHECK(corpus.classes() == 4);
  CHECK(corpus.shape() == ImageShape{1, 4, 4});
  REQUIRE(corpus.split("train").size() == 30);
  REQUIRE(corpus.split("validation").size() == 10);
  REQUIRE(corpus.split("test").size() == 12);
  CHECK_THROWS_AS(corpus.split("dev"), DataError);
  auto both = images(corpus.split("train"));
  both.merge(images(corpus.split("validation")));
  CHECK(both == images(ImageCorpus::open(config_for(folder.path(), 0)).split("train")));
  // They are not simply the last ones.
  CHECK(corpus.split("validation").image(0).data() != corpus.split("train").image(0).data());
  const ImageSplit& held_out = corpus.split("validation");
  bool spread = false;
  for (int64_t i = 1; i < held_out.size(); ++i) {
    spread |= held_out.image(i).data() - held_out.image(i - 1).data() > 16;
  }
  CHECK(spread);

  const uint64_t hash = corpus.split("validation").content_hash();
  CHECK(ImageCorpus::open(config_for(folder.path(), 10)).split("validation").content_hash() == hash);
  DataConfig other = config_for(folder.path(), 10);
  other.labelled.split_seed = 2;
  CHECK(ImageCorpus::open(other).split("validation").content_hash() != hash);
  CHECK_THROWS_AS(ImageCorpus::open(config_for(folder.path(), 40)), UsageError);
  CHECK_FALSE(ImageCorpus::open(config_for(folder.path(), 0)).has_split("validation"));
}

TEST_CASE("the content hash depends on every pixel and label") {
  TemporaryFolder folder;
  const ImageSet train = bright_quarters(8, 4, 1);
  const auto hash = [&](const ImageSet& set) {
    write_idx_folder(folder.path(), set, train);
    return ImageCorpus::open(config_for(folder.path(), 0)).split("train").content_hash();
  };
  const uint64_t expected = hash(train);
  CHECK(hash(train) == expected);
  ImageSet changed = train;
  changed.pixels[37] ^= 1;
  CHECK(hash(changed) != expected);
  changed = train;
  std::swap(changed.labels[2], changed.labels[3]);
  CHECK(hash(changed) != expected);
  changed = train;
  changed.shape = {1, 2, 8};
  write_idx_folder(folder.path(), changed, changed);
  CHECK(ImageCorpus::open(config_for(folder.path(), 0)).split("train").content_hash() != expected);
}

TEST_CASE("folders without labelled samples, or with inconsistent files, are data errors") {
  TemporaryFolder folder;
  CHECK_THROWS_WITH(ImageCorpus::open(config_for(folder / "nowhere", 0)), Catch::Contains("no such folder"));
  CHECK_THROWS_WITH(ImageCorpus::open(config_for(folder.path(), 0)), Catch::Contains("idx, cifar10"));
  const ImageSet train = bright_quarters(8, 4, 1);
  ImageSet test = train;
  test.labels[5] = 9;
  write_idx_folder(folder.path(), train, test);
  CHECK_THROWS_WITH(ImageCorpus::open(config_for(folder.path(), 0)),
                    Catch::Contains("image 5 of the test files has the label 9") && Catch::Contains("0 to 3"));
  write_idx_folder(folder.path(), train, bright_quarters(4, 6, 1));
  CHECK_THROWS_AS(ImageCorpus::open(config_for(folder.path(), 0)), DataError);
  DataConfig wrong = config_for(folder.path(), 0);
  wrong.labelled.format = "cifar10";
  CHECK_THROWS_WITH(ImageCorpus::open(wrong), Catch::Contains("data_batch_1.bin"));
}

TEST_CASE("a corpus of chosen classes has only their images, numbered in the chosen order") {
  TemporaryFolder folder;
  const ImageSet train = bright_quarters(40, 4, 1), test = bright_quarters(12, 4, 2);
  write_idx_folder(folder.path(), train, test);
  DataConfig config = config_for(folder.path(), 4);
  const ImageCorpus all = ImageCorpus::open(config);
  config.labelled.classes = {"3", "1"};
  const ImageCorpus chosen = ImageCorpus::open(config);
  CHECK(chosen.classes() == 2);
  CHECK(chosen.class_counts().names == std::vector<std::string>{"3", "1"});
  CHECK(chosen.split("train").size() + chosen.split("validation").size() == 20);
  const ImageSplit &some = chosen.split("test"), &whole = all.split("test");
  REQUIRE(some.size() == 6);
  for (int64_t i = 0, next = 0; i < whole.size(); ++i) {
    if (whole.label(i) % 2 == 0) continue;
    CHECK(std::ranges::equal(some.image(next), whole.image(i)));
    CHECK(some.label(next++) == (whole.label(i) == 3 ? 0 : 1));
  }
  for (const std::vector<std::string>& wrong :
       {std::vector<std::string>{"1"}, {"1", "1"}, {"1", "4"}, {"1", "seven"}}) {
    config.labelled.classes = wrong;
    CHECK_THROWS_AS(ImageCorpus::open(config), DataError);
  }
}

TEST_CASE("noise on images is the same in every run, proportional to its strength, and has the given deviation") {
  TemporaryFolder folder;
  ImageSet grey = bright_quarters(100, 8, 1);
  std::fill(grey.pixels.begin(), grey.pixels.end(), uint8_t{128});
  write_idx_folder(folder.path(), grey, grey);
  const ImageCorpus corpus = ImageCorpus::open(config_for(folder.path(), 0));
  const ImageSplit& split = corpus.split("test");
  const auto noise_of = [&](double deviation) {
    std::vector<double> result;
    const ImageSplit noisy = with_noise(split, corpus.shape(), 50, deviation);
    REQUIRE(noisy.size() == 50);
    for (int64_t i = 0; i < noisy.size(); ++i) {
      CHECK(noisy.label(i) == split.label(i));
      for (const uint8_t pixel : noisy.image(i)) result.push_back(pixel - 128.0);
    }
    return result;
  };
  const std::vector<double> weak = noise_of(0.05), strong = noise_of(0.1);
  CHECK(noise_of(0.1) == strong);
  double sum = 0, squares = 0;
  for (size_t i = 0; i < strong.size(); ++i) {
    CHECK(std::abs(strong[i] - 2 * weak[i]) <= 1.5);  // both are rounded
    sum += strong[i], squares += strong[i] * strong[i];
  }
  const auto count = static_cast<double>(strong.size());
  CHECK(std::abs(sum / count) < 4 * 25.5 / std::sqrt(count));
  CHECK(std::sqrt(squares / count) == Approx(25.5).epsilon(0.05));
  const ImageSplit most = with_noise(split, corpus.shape(), 50, 10);
  CHECK(std::ranges::count(most.image(0), uint8_t{255}) > 0);  // kept in the pixels' range
}
