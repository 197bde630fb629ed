#include "core/initialise/token_clusters.h"

#include <cmath>
#include <numeric>
#include <set>

#include "core/base/integer.h"
#include "tests/support/catch.h"

using namespace moe;

static const RandomKey kKey{5, RandomPurpose::test, 1, 0};

// `each` tokens around each of the first axes' directions, of any lengths, in turn.
static std::vector<float> separated(int64_t kinds, int64_t each, int64_t d, float noise) {
  std::vector<float> tokens;
  for (int64_t t = 0; t < kinds * each; ++t) {
    const float length = 0.5f + static_cast<float>(t % 7);
    for (int64_t i = 0; i < d; ++i) {
      const float drawn = noise * kKey.normal(static_cast<uint64_t>(t * d + i));
      tokens.push_back(length * ((i == t % kinds ? 1.0f : 0.0f) + drawn));
    }
  }
  return tokens;
}

TEST_CASE("separate clusters are found, each with one centroid") {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    INFO("seed " << seed);
    const TokenClusters found = cluster_tokens(separated(3, 40, 8, 0.05f), 8, 3, 50, {seed, RandomPurpose::test, 0, 0});
    CHECK(found.sizes == std::vector<int64_t>{40, 40, 40});
    for (size_t t = 3; t < 120; ++t) CHECK(found.cluster_of[t] == found.cluster_of[t - 3]);
    for (int64_t kind = 0; kind < 3; ++kind) {
      const int32_t c = found.cluster_of[as_index(kind)];
      CHECK(found.centroids[as_index(c * 8 + kind)] > 0.99f);
    }
    CHECK(found.mean_cosine > 0.97);
    CHECK(found.iterations < 50);
    CHECK(found.members(found.cluster_of[1])[1] == 4);
  }
}

TEST_CASE("clusters are a function of tokens and key, and every token belongs to its nearest centroid") {
  const std::vector<float> tokens = separated(5, 30, 6, 0.6f);
  const TokenClusters one = cluster_tokens(tokens, 6, 7, 10, kKey), two = cluster_tokens(tokens, 6, 7, 10, kKey);
  CHECK(one.centroids == two.centroids);
  CHECK(one.cluster_of == two.cluster_of);
  CHECK(std::accumulate(one.sizes.begin(), one.sizes.end(), int64_t{0}) == 150);
  for (size_t t = 0; t < 150; ++t) {
    std::vector<double> cosines;
    for (size_t c = 0; c < 7; ++c) {
      cosines.push_back(
          std::inner_product(&one.directions[6 * t], &one.directions[6 * t] + 6, &one.centroids[6 * c], 0.0));
    }
    for (const double cosine : cosines) CHECK(cosine <= cosines[as_index(one.cluster_of[t])] + 1e-6);
  }
  for (size_t c = 0; c < 7; ++c) {
    const float* x = &one.centroids[6 * c];
    CHECK(std::inner_product(x, x + 6, x, 0.0) == Approx(1).epsilon(1e-6));
  }
}

TEST_CASE("iterations make clusters tighter until nothing changes") {
  const std::vector<float> tokens = separated(6, 50, 12, 0.4f);
  double before = 0;
  for (const int64_t iterations : {0, 1, 3, 100}) {
    const TokenClusters found = cluster_tokens(tokens, 12, 6, iterations, kKey);
    CHECK(found.mean_cosine >= before - 1e-6);
    CHECK(found.iterations <= iterations);
    before = found.mean_cosine;
  }
  CHECK(cluster_tokens(tokens, 12, 6, 100, kKey).iterations < 100);
}

TEST_CASE("more clusters than kinds of tokens, tokens of zeros, and clusters of one token") {
  // Two kinds of identical tokens for four clusters: ties go to the smaller index, and nothing is NaN.
  const TokenClusters alike = cluster_tokens(separated(2, 10, 4, 0), 4, 4, 20, kKey);
  CHECK(std::set<int32_t>(alike.cluster_of.begin(), alike.cluster_of.end()).size() == 2);
  for (const float x : alike.centroids) CHECK(std::isfinite(x));
  const TokenClusters zeros = cluster_tokens(std::vector<float>(5 * 3), 3, 2, 20, kKey);
  for (const float x : zeros.centroids) CHECK(std::isfinite(x));
  CHECK(zeros.mean_cosine == 0);
  const TokenClusters own = cluster_tokens(separated(5, 1, 6, 0.1f), 6, 5, 20, kKey);
  CHECK(own.sizes == std::vector<int64_t>(5, 1));
  CHECK(own.mean_cosine == Approx(1).epsilon(1e-5));
}
