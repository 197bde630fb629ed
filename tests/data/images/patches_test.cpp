#include "data/images/patches.h"

#include <algorithm>
#include <cmath>

#include "data/images/image_loader.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_images.h"

using namespace moe;
using namespace moe::test;

static const Normalisation kNone{{0, 0}, {1, 1}};

TEST_CASE("patches of a hand-made image") {
  // Two channels of 2 x 4; the second is the first plus 100.
  const std::vector<uint8_t> image{1, 2, 3, 4, 5, 6, 7, 8, 101, 102, 103, 104, 105, 106, 107, 108};
  const PatchGrid grid({2, 2, 4}, 2);
  CHECK(grid.patches() == 2);
  CHECK(grid.features() == 8);
  std::vector<float> patches(16);
  cut_patches(image, grid, kNone, {}, patches);
  CHECK(patches == std::vector<float>{1, 2, 5, 6, 101, 102, 105, 106, 3, 4, 7, 8, 103, 104, 107, 108});
  cut_patches(image, grid, kNone, {.mirrored = true}, patches);
  CHECK(patches == std::vector<float>{4, 3, 8, 7, 104, 103, 108, 107, 2, 1, 6, 5, 102, 101, 106, 105});
  cut_patches(image, grid, kNone, {.right = 1, .down = -1}, patches);
  CHECK(patches == std::vector<float>{0, 5, 0, 0, 0, 105, 0, 0, 6, 7, 0, 0, 106, 107, 0, 0});
  cut_patches(image, grid, {{1, 101}, {2, 0.5}}, {}, patches);
  CHECK(patches[1] == 2);
  CHECK(patches[5] == 0.5f);
  CHECK_THROWS_AS(PatchGrid({1, 28, 28}, 5), UsageError);
}

TEST_CASE("normalised training pixels have mean 0 and variance 1") {
  TemporaryFolder folder;
  write_idx_folder(folder.path(), bright_quarters(20, 8, 1), bright_quarters(4, 8, 2));
  DataConfig config;
  config.path = folder.path();
  config.labelled.validation = 5;
  const ImageCorpus corpus = ImageCorpus::open(config);
  const ImageSplit& train = corpus.split("train");
  const PatchGrid grid(corpus.shape(), 4);
  const Normalisation normalisation = Normalisation::of(train, corpus.shape());
  std::vector<float> patches(64);
  double sum = 0, squares = 0;
  for (int64_t i = 0; i < train.size(); ++i) {
    cut_patches(train.image(i), grid, normalisation, {}, patches);
    for (const float value : patches) sum += value, squares += value * value;
  }
  const double count = 64.0 * static_cast<double>(train.size());
  CHECK(sum / count == Approx(0).margin(1e-5));
  CHECK(squares / count == Approx(1).epsilon(1e-4));
}

TEST_CASE("augmentation is a function of seed, sample and epoch, and covers its range") {
  const auto draw = [](int64_t shift, bool flip, uint64_t seed, int64_t sample, int64_t epoch) {
    AugmentConfig config;
    config.shift = shift, config.flip = flip;
    return Augmentation::draw(config, seed, sample, epoch);
  };
  int64_t most = 0, least = 0, mirrored = 0, others = 0;
  for (int64_t sample = 0; sample < 400; ++sample) {
    const Augmentation a = draw(2, true, 1, sample, 3), again = draw(2, true, 1, sample, 3),
                       later = draw(2, true, 1, sample, 4);
    CHECK((a.right == again.right && a.down == again.down && a.mirrored == again.mirrored));
    others += a.right != later.right || a.down != later.down || a.mirrored != later.mirrored;
    most = std::max({most, a.right, a.down}), least = std::min({least, a.right, a.down});
    mirrored += a.mirrored;
  }
  CHECK(most == 2);
  CHECK(least == -2);
  CHECK(mirrored > 120);
  CHECK(mirrored < 280);
  CHECK(others > 300);
  const Augmentation none = draw(0, false, 1, 2, 3);
  CHECK((none.right == 0 && none.down == 0 && !none.mirrored));
}

TEST_CASE("the loader fills a batch; samples past the end are all padding") {
  const auto set = std::make_shared<const ImageSet>(bright_quarters(6, 4, 1));
  const ImageSplit split("some", set, {4, 2, 0});
  const ImageLoader loader(PatchGrid(set->shape, 2), kNone, 1);
  CHECK(loader.tokens_per_sample() == 5);
  Batch batch;
  const std::vector<SampleVisit> visits{{1, 0}, {3, 0}, {0, 7}};
  loader.load(split, visits, {}, 1, batch);
  CHECK(batch.sequences == 3);
  CHECK(batch.length == 5);
  CHECK(batch.inputs.empty());
  CHECK(batch.labels == std::vector<int32_t>{2, kIgnoreTarget, 0});
  for (size_t t = 0; t < 15; ++t) CHECK(batch.targets[t] == (t / 5 == 1 ? kIgnoreTarget : 0));
  REQUIRE(batch.features.size() == 48);
  CHECK(batch.features[1] == static_cast<float>(set->image(2)[1]));
  CHECK(batch.features[16] == 0);
  CHECK(batch.features[32 + 2] == static_cast<float>(set->image(4)[4]));
}
