#include "core/retrieval/interpolation.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/base/check.h"
#include "core/base/integer.h"

namespace moe {

std::vector<double> neighbour_logs(const TokenNeighbours& tokens, int64_t k, double temperature) {
  MOE_CHECK(k >= 1 && k <= tokens.k && temperature > 0, "{} of {} neighbours at temperature {}", k, tokens.k,
            temperature);
  std::vector<double> logs(as_index(tokens.size()));
#pragma omp parallel for schedule(static)
  for (int64_t t = 0; t < tokens.size(); ++t) {
    const float* distances = tokens.distances.data() + t * tokens.k;
    const int32_t* followers = tokens.followers.data() + t * tokens.k;
    const auto nearest = static_cast<double>(distances[0]);
    double all = 0, own = 0;
    for (int64_t i = 0; i < k && std::isfinite(distances[i]); ++i) {
      const double weight = std::exp((nearest - static_cast<double>(distances[i])) / temperature);
      all += weight;
      if (followers[i] == tokens.targets[as_index(t)]) own += weight;
    }
    logs[as_index(t)] = own > 0 ? std::log(own) - std::log(all) : -std::numeric_limits<double>::infinity();
  }
  return logs;
}

double interpolated(double nats, double neighbour_log, double lambda) {
  if (lambda <= 0) return nats;
  const double model = std::log1p(-lambda) - nats, neighbours = std::log(lambda) + neighbour_log;
  const double larger = std::max(model, neighbours), smaller = std::min(model, neighbours);
  return -(larger + std::log1p(std::exp(smaller - larger)));
}

std::vector<double> interpolated_nats(const TokenNeighbours& tokens, const Interpolation& with) {
  std::vector<double> nats = neighbour_logs(tokens, with.k, with.temperature);
  for (size_t t = 0; t < nats.size(); ++t)
    nats[t] = interpolated(static_cast<double>(tokens.nats[t]), nats[t], with.lambda);
  return nats;
}

double best_lambda(std::span<const float> nats, std::span<const double> logs) {
  // The derivative of the mean log probability, sum (a - b) / (lambda a + (1 - lambda) b), falls with lambda; both
  // probabilities are divided by b.
  std::vector<double> ratios(logs.size());
  for (size_t t = 0; t < logs.size(); ++t)
    ratios[t] = std::exp(std::min(logs[t] + static_cast<double>(nats[t]), 700.0));
  const auto derivative = [&](double lambda) {
    double sum = 0;
    for (const double ratio : ratios) sum += (ratio - 1) / (1 + lambda * (ratio - 1));
    return sum;
  };
  if (!(derivative(0) > 0)) return 0;
  double low = 0, high = 1;
  for (int i = 0; i < 40; ++i) {
    const double middle = (low + high) / 2;
    (derivative(middle) > 0 ? low : high) = middle;
  }
  return low;
}

static double mean_nats(const TokenNeighbours& tokens, std::span<const double> logs, double lambda) {
  double sum = 0;
  for (size_t t = 0; t < logs.size(); ++t) sum += interpolated(static_cast<double>(tokens.nats[t]), logs[t], lambda);
  return sum / static_cast<double>(logs.size());
}

static double median_distance(const TokenNeighbours& tokens) {
  std::vector<float> distances;
  for (int64_t t = 0; t < tokens.size(); ++t) {
    const float d = tokens.distances[as_index(t * tokens.k + tokens.k / 2)];
    if (std::isfinite(d) && d > 0) distances.push_back(d);
  }
  if (distances.empty()) return 1;
  const auto middle = distances.begin() + std::ssize(distances) / 2;
  std::nth_element(distances.begin(), middle, distances.end());
  return static_cast<double>(*middle);
}

TunedInterpolation tune(const TokenNeighbours& tokens, std::span<const int64_t> ks) {
  MOE_CHECK(tokens.size() > 0 && !ks.empty(), "nothing to tune with");
  TunedInterpolation tuned;
  tuned.model_nats = mean_nats(tokens, std::vector<double>(as_index(tokens.size())), 0);
  tuned.nats = std::numeric_limits<double>::infinity();
  const double base = median_distance(tokens);
  for (const int64_t k : ks) {
    const auto at = [&](double exponent) {
      Interpolation with{.k = k, .lambda = 0, .temperature = base * std::exp2(exponent)};
      const std::vector<double> logs = neighbour_logs(tokens, k, with.temperature);
      with.lambda = best_lambda(tokens.nats, logs);
      const double nats = mean_nats(tokens, logs, with.lambda);
      if (nats < tuned.nats) tuned.nats = nats, tuned.best = with;
      return nats;
    };
    constexpr int kLowest = -8, kHighest = 4;
    double best = kLowest, least = std::numeric_limits<double>::infinity();
    for (int exponent = kLowest; exponent <= kHighest; ++exponent) {
      if (const double nats = at(exponent); nats < least) least = nats, best = exponent;
    }
    constexpr double kGolden = 0.6180339887498949;
    double low = best - 1, high = best + 1;
    double left = high - kGolden * 2, right = low + kGolden * 2, at_left = at(left), at_right = at(right);
    for (int i = 0; i < 6; ++i) {
      if (at_left <= at_right) {
        high = right, right = left, at_right = at_left;
        left = high - kGolden * (high - low), at_left = at(left);
      } else {
        low = left, left = right, at_left = at_right;
        right = low + kGolden * (high - low), at_right = at(right);
      }
    }
  }
  return tuned;
}

}  // namespace moe
