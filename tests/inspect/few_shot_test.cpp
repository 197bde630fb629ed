#include "core/evaluate/few_shot.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <string>
#include <vector>

#include "core/base/check.h"
#include "core/base/philox.h"
#include "core/inspect/few_shot_report.h"
#include "tests/support/catch.h"

using namespace moe;

// Samples of `classes` classes in turn, around centres that are `distance` apart in the first dimensions, with noise.
static SampleFeatures clouds(int64_t samples, int64_t width, int64_t classes, double distance, uint64_t seed) {
  SampleFeatures features{width, {}, {}};
  const RandomKey key{seed, RandomPurpose::test, 0, 0};
  for (int64_t i = 0; i < samples; ++i) {
    const auto label = static_cast<int32_t>(i % classes);
    features.labels.push_back(label);
    for (int64_t d = 0; d < width; ++d) {
      const double noise = static_cast<double>(key.normal(static_cast<uint64_t>(i * width + d)));
      features.rows.push_back(static_cast<float>((d == label ? distance : 0) + noise + 3));
    }
  }
  return features;
}

TEST_CASE(
    "few labelled samples are drawn per class, the same for every model, and the smaller draws are in the larger") {
  std::vector<int32_t> labels;
  for (int i = 0; i < 60; ++i) labels.push_back(i % 3);
  const auto ten = draw_few(labels, 3, 10, 1, 4), five = draw_few(labels, 3, 5, 1, 4);
  REQUIRE(ten.size() == 30);
  CHECK(std::set<int64_t>(ten.begin(), ten.end()).size() == 30);
  for (size_t c = 0; c < 3; ++c) {
    for (size_t i = 0; i < 10; ++i) CHECK(labels[static_cast<size_t>(ten[10 * c + i])] == static_cast<int32_t>(c));
    for (size_t i = 0; i < 5; ++i) CHECK(five[5 * c + i] == ten[10 * c + i]);
  }
  CHECK(draw_few(labels, 3, 10, 1, 4) == ten);
  CHECK(draw_few(labels, 3, 10, 1, 5) != ten);
  CHECK(draw_few(labels, 3, 10, 2, 4) != ten);
  CHECK_THROWS_AS(draw_few(labels, 3, 21, 1, 0), DataError);
  CHECK_THROWS_AS(draw_few(labels, 4, 1, 1, 0), DataError);
}

TEST_CASE(
    "the weights of ridge regression are where the gradient of its objective is 0, with few and with many samples") {
  constexpr int64_t kWidth = 7, kClasses = 3;
  const double ridge = 0.05;
  for (const int64_t count : {4, 12}) {  // fewer and more samples than features: two forms of the equations
    const SampleFeatures features = clouds(60, kWidth, kClasses, 2, 3);
    const auto members = draw_few(features.labels, kClasses, count / kClasses + 1, 1, 0);
    const auto n = static_cast<double>(members.size());
    const std::vector<double> w = fit_ridge(features, members, kClasses, ridge);
    REQUIRE(w.size() == (kWidth + 1) * kClasses);
    const auto x = [&](int64_t sample, int64_t d) {
      return static_cast<double>(features.rows[static_cast<size_t>(sample * kWidth + d)]);
    };
    std::vector<double> mean(kWidth);
    double spread = 0;
    for (int64_t d = 0; d < kWidth; ++d) {
      for (const int64_t i : members) mean[static_cast<size_t>(d)] += x(i, d) / n;
      for (const int64_t i : members) spread += std::pow(x(i, d) - mean[static_cast<size_t>(d)], 2);
    }
    for (int64_t c = 0; c < kClasses; ++c) {
      std::vector<double> residuals;
      double sum = 0;
      for (const int64_t i : members) {
        double value = w[kWidth * kClasses + static_cast<size_t>(c)];
        for (int64_t d = 0; d < kWidth; ++d) value += x(i, d) * w[static_cast<size_t>(d * kClasses + c)];
        residuals.push_back(value - (features.labels[static_cast<size_t>(i)] == c ? 1 : 0));
        sum += residuals.back();
      }
      CHECK(std::abs(sum) < 1e-9);  // the constant has no penalty
      for (int64_t d = 0; d < kWidth; ++d) {
        double gradient = ridge * spread / n * w[static_cast<size_t>(d * kClasses + c)];
        for (size_t i = 0; i < members.size(); ++i) gradient += residuals[i] * x(members[i], d);
        CHECK(std::abs(gradient) < 1e-9);
      }
    }
  }
}

TEST_CASE("few-shot accuracy is high for features that separate the classes, and chance for features that do not") {
  const FewShotOptions options{.labels = {1, 10}, .draws = 8};
  const auto far = few_shot(clouds(400, 8, 4, 12, 1), clouds(100, 8, 4, 12, 2), clouds(400, 8, 4, 12, 3), 4, options);
  REQUIRE(far.size() == 2);
  CHECK(far[0].labels == 1);
  CHECK(far[0].mean() > 0.95);
  CHECK(far[1].mean() > 0.99);
  CHECK(far[1].accuracies.size() == 8);
  const auto same = few_shot(clouds(400, 8, 4, 0, 1), clouds(100, 8, 4, 0, 2), clouds(400, 8, 4, 0, 3), 4, options);
  CHECK(std::abs(same[0].mean() - 0.25) < 0.05);
  // Equal features, from which nothing can be learned, give the first class.
  SampleFeatures constant{2, std::vector<float>(40, 1.0f), {}};
  for (int i = 0; i < 20; ++i) constant.labels.push_back(i % 4);
  CHECK(few_shot(constant, constant, constant, 4, {.labels = {2}, .draws = 2}).front().mean() == 0.25);
}

TEST_CASE("only the samples that are drawn are read") {
  const FewShotOptions options{.labels = {2, 5}, .draws = 3};
  SampleFeatures train = clouds(400, 8, 4, 3, 1);
  const SampleFeatures other = clouds(100, 8, 4, 3, 2);
  const std::vector<FewShotAccuracy> whole = few_shot(train, other, other, 4, options);
  const std::vector<int64_t> drawn = all_drawn(train.labels, 4, options);
  CHECK(drawn.size() <= 3 * 5 * 4);
  for (int64_t i = 0; i < train.samples(); ++i) {
    if (std::ranges::binary_search(drawn, i)) continue;
    for (size_t d = 0; d < 8; ++d) train.rows[static_cast<size_t>(i) * 8 + d] = std::nanf("");
  }
  const std::vector<FewShotAccuracy> some = few_shot(train, other, other, 4, options);
  for (size_t i = 0; i < 2; ++i) CHECK(some[i].accuracies == whole[i].accuracies);
}

TEST_CASE("the penalty is the candidate that does best on the validation samples") {
  // Class means are far apart in one dimension, and the noise of the others is large, so a large penalty misleads less.
  const SampleFeatures train = clouds(300, 40, 3, 1.5, 1), validation = clouds(300, 40, 3, 1.5, 2);
  const FewShotOptions options{.labels = {8}, .draws = 6, .ridges = {1e-6, 1e-2, 1}};
  const FewShotAccuracy chosen = few_shot(train, validation, validation, 3, options).front();
  for (const double ridge : options.ridges) {
    const FewShotAccuracy only =
        few_shot(train, validation, validation, 3, {.labels = {8}, .draws = 6, .ridges = {ridge}}).front();
    CHECK(only.mean() <= chosen.mean());
    if (ridge == chosen.ridge) CHECK(only.accuracies == chosen.accuracies);
  }
}

static FewShotRun run_of(const std::string& folder, double accuracy) {
  FewShotRun run = few_shot_run(folder);
  run.results = {{1, 0.1, {accuracy - 0.01, accuracy + 0.01}}};
  return run;
}

TEST_CASE("runs of several seeds are one configuration in the table, and are compared seed by seed") {
  CHECK(few_shot_run("runs/dense-seed12/").config == "dense");
  CHECK(few_shot_run("runs/dense-seed12/").seed == 12);
  CHECK(few_shot_run("a-seedling").config == "a-seedling");
  const std::vector<FewShotRun> runs = {run_of("x/dense-seed1", 0.5), run_of("x/moe-seed1", 0.6),
                                        run_of("x/dense-seed2", 0.7), run_of("x/moe-seed2", 0.78)};
  const Json json = few_shot_json(runs);
  REQUIRE(json["runs"].size() == 4);
  REQUIRE(json["differences"].size() == 1);
  CHECK(json["differences"][0]["config"] == "moe");
  CHECK(json["differences"][0]["difference"].get<double>() == Approx(0.09));
  // Two pairs: 0.10 and 0.08; t = 12.706 at one degree of freedom.
  CHECK(json["differences"][0]["high"].get<double>() == Approx(0.09 + 12.706 * 0.01).epsilon(1e-3));
  const std::string text = few_shot_text(runs);
  CHECK(text.find("+9.00 ± 12.71") != std::string::npos);
  CHECK(text.find("over the seeds") != std::string::npos);
  // Single runs are paired by draw.
  const std::string single = few_shot_text({run_of("dense", 0.5), run_of("moe", 0.6)});
  CHECK(single.find("+10.00 ± 0.00") != std::string::npos);
  CHECK(single.find("say nothing of other seeds") != std::string::npos);
}
