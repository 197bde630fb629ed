#include "core/retrieval/interpolation.h"

#include <cmath>
#include <limits>
#include <vector>

#include "core/base/integer.h"
#include "core/base/philox.h"
#include "tests/support/catch.h"

using namespace moe;

static constexpr float kInfinity = std::numeric_limits<float>::infinity();

TEST_CASE("the neighbours' probability is the softmax of their negative squared distances, summed by token") {
  const TokenNeighbours tokens{.k = 4,
                               .distances = {1, 2, 2.5, 4, 0, 3, kInfinity, kInfinity, 1, 1, 1, 1},
                               .followers = {5, 6, 5, 5, 6, 5, -1, -1, 1, 2, 3, 4},
                               .targets = {5, 5, 9},
                               .nats = {1, 2, 3},
                               .positions = {1, 2, 3}};
  const double t = 1.7;
  const auto weight = [&](double d) { return std::exp(-d / t); };
  const double all = weight(1) + weight(2) + weight(2.5) + weight(4);
  std::vector<double> logs = neighbour_logs(tokens, 4, t);
  CHECK(logs[0] == Approx(std::log((weight(1) + weight(2.5) + weight(4)) / all)));
  CHECK(logs[1] == Approx(std::log(weight(3) / (weight(0) + weight(3)))));
  CHECK(logs[2] == -std::numeric_limits<double>::infinity());
  logs = neighbour_logs(tokens, 2, t);
  CHECK(logs[0] == Approx(std::log(weight(1) / (weight(1) + weight(2)))));
  // Distances that are large as such differ by little.
  TokenNeighbours far = tokens;
  for (float& d : far.distances) d += 4096;
  CHECK(neighbour_logs(far, 4, t)[0] == Approx(neighbour_logs(tokens, 4, t)[0]).epsilon(1e-6));
}

TEST_CASE("the interpolated probability is the weighted sum, also far below what a double holds") {
  for (const double lambda : {0.1, 0.5, 0.9}) {
    for (const double p : {0.9, 0.01})
      CHECK(interpolated(-std::log(0.3), std::log(p), lambda) == Approx(-std::log(lambda * p + (1 - lambda) * 0.3)));
    CHECK(interpolated(2, -std::numeric_limits<double>::infinity(), lambda) == Approx(2 - std::log1p(-lambda)));
    CHECK(interpolated(2000, -1500, lambda) == Approx(1500 - std::log(lambda)));
  }
  CHECK(interpolated(2.25, -1, 0) == 2.25);
  CHECK(interpolated(2.25, -1, 1) == Approx(1));
}

// Tokens whose neighbours are right with a probability that falls with the distance.
static TokenNeighbours drawn(int64_t count, int64_t k) {
  TokenNeighbours tokens{.k = k};
  const RandomKey key{4, RandomPurpose::test, 0, 0};
  uint64_t draw = 0;
  const auto unit = [&] { return unit_of(key.bits(draw++)); };
  for (int64_t t = 0; t < count; ++t) {
    tokens.targets.push_back(static_cast<int32_t>(unit() * 10));
    tokens.nats.push_back(static_cast<float>(0.5 + 3 * unit()));
    tokens.positions.push_back(t);
    for (int64_t i = 0; i < k; ++i) {
      const double distance = static_cast<double>(i) + unit();
      tokens.distances.push_back(static_cast<float>(distance));
      const bool right = unit() < 0.5 * std::exp(-distance / 3);
      tokens.followers.push_back(right ? tokens.targets.back() : static_cast<int32_t>(unit() * 10));
    }
  }
  return tokens;
}

static double mean_nats(const TokenNeighbours& tokens, const Interpolation& with) {
  double sum = 0;
  for (const double nats : interpolated_nats(tokens, with)) sum += nats;
  return sum / static_cast<double>(tokens.size());
}

TEST_CASE("the best lambda has the least mean of all lambdas") {
  const TokenNeighbours tokens = drawn(300, 6);
  const std::vector<double> logs = neighbour_logs(tokens, 6, 2);
  const double best = best_lambda(tokens.nats, logs);
  CHECK(best > 0.05);
  CHECK(best < 0.99);
  const double least = mean_nats(tokens, {6, best, 2});
  for (double lambda = 0; lambda < 1; lambda += 0.01) CHECK(mean_nats(tokens, {6, lambda, 2}) >= least - 1e-12);
  // Neighbours that are never right.
  const std::vector<double> wrong(300, -std::numeric_limits<double>::infinity());
  CHECK(best_lambda(tokens.nats, wrong) == 0);
}

TEST_CASE("tuning finds parameters that a fine grid does not beat") {
  const TokenNeighbours tokens = drawn(300, 6);
  const std::vector<int64_t> ks{1, 3, 6};
  const TunedInterpolation tuned = tune(tokens, ks);
  CHECK(mean_nats(tokens, tuned.best) == Approx(tuned.nats));
  CHECK(tuned.nats < tuned.model_nats);
  for (const int64_t k : ks) {
    for (double t = 0.05; t < 50; t *= 1.1) {
      const std::vector<double> logs = neighbour_logs(tokens, k, t);
      CHECK(mean_nats(tokens, {k, best_lambda(tokens.nats, logs), t}) >= tuned.nats - 1e-3);
    }
  }
}
