#include "data/synthetic.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <span>

#include "core/base/check.h"
#include "core/base/integer.h"
#include "core/base/json.h"
#include "core/base/philox.h"

namespace moe {
namespace {

constexpr int64_t kMaxEntries = int64_t{1} << 24;
constexpr uint32_t kRowStream = 0;      // generate(stream) uses stream + 1
constexpr double kUniformShare = 1e-3;  // keeps the chain ergodic, so that the stationary distribution is unique
constexpr double kStationaryTolerance = 1e-13;  // bound on the L1 distance between two power iterations
constexpr int kMaxIterations = 200'000;

// A uniform number in (0, 1) with 53 bits.
double open_uniform(const RandomKey& key, uint64_t element) {
  return (static_cast<double>(key.bits(element) >> 11) + 0.5) * 0x1p-53;
}

// The logarithm of a Gamma(shape, 1) variate by Marsaglia and Tsang (2000), with their boost for shapes below 1. The
// boost underflows for small shapes unless it is added as a logarithm.
double log_gamma_variate(double shape, RandomKey key, uint64_t element) {
  const double boosted = shape < 1 ? shape + 1 : shape;
  const double d = boosted - 1.0 / 3;
  const double c = 1 / std::sqrt(9 * d);
  for (key.step = 1;; ++key.step) {
    const auto words = key.words(element);
    const auto uniform = [&](size_t word) { return open_unit_of(words[word]); };
    const double x = std::sqrt(-2 * std::log(uniform(0))) * std::cos(2 * std::numbers::pi * uniform(1));
    const double v = std::pow(1 + c * x, 3);
    if (v <= 0 || std::log(uniform(2)) > 0.5 * x * x + d - d * v + d * std::log(v)) continue;
    const double boost = shape < 1 ? std::log(uniform(3)) / shape : 0;
    return std::log(d * v) + boost;
  }
}

void check_range(const char* name, double value, double low, double high) {
  if (!(value >= low && value <= high)) {
    raise<UsageError>("synthetic corpus: {} is {}; expected {} to {}", name, value, low, high);
  }
}

}  // namespace

Json to_json(const SyntheticConfig& config) {
  return {{"states", config.states},
          {"order", config.order},
          {"concentration", config.concentration},
          {"seed", config.seed},
          {"train_tokens", config.train_tokens},
          {"validation_tokens", config.validation_tokens},
          {"test_tokens", config.test_tokens}};
}

SyntheticSource::SyntheticSource(const SyntheticConfig& config) : config_(config) {
  check_range("states", static_cast<double>(config.states), 2, static_cast<double>(kMaxEntries));
  check_range("order", static_cast<double>(config.order), 1, 24);
  check_range("concentration", config.concentration, 1e-3, 1e6);
  for (int64_t i = 0; i < config.order; ++i) {
    num_contexts_ *= config.states;
    if (num_contexts_ * config.states > kMaxEntries) {
      raise<UsageError>("synthetic corpus: {} states of order {} need more than {} probabilities; lower one of them",
                        config.states, config.order, kMaxEntries);
    }
  }
  draw_rows();
  find_stationary();
}

void SyntheticSource::draw_rows() {
  const auto states = static_cast<size_t>(config_.states);
  const RandomKey key{config_.seed, RandomPurpose::synthetic_data, kRowStream, 0};
  cumulative_.resize(static_cast<size_t>(num_contexts_) * states);
  for (size_t context = 0; context < static_cast<size_t>(num_contexts_); ++context) {
    const std::span<double> row(cumulative_.data() + context * states, states);
    for (size_t token = 0; token < states; ++token) {
      row[token] = log_gamma_variate(config_.concentration, key, context * states + token);
    }
    const double largest = *std::max_element(row.begin(), row.end());
    double sum = 0;
    for (double& value : row) sum += value = std::exp(value - largest);
    double total = 0;
    for (double& value : row) {
      total += (1 - kUniformShare) * value / sum + kUniformShare / static_cast<double>(states);
      value = total;
    }
    row.back() = 1;
  }
}

double SyntheticSource::probability(int64_t context, int64_t token) const {
  const double* row = cumulative_.data() + context * config_.states;
  return token == 0 ? row[0] : row[token] - row[token - 1];
}

void SyntheticSource::find_stationary() {
  const auto contexts = static_cast<size_t>(num_contexts_);
  stationary_.assign(contexts, 1 / static_cast<double>(num_contexts_));
  std::vector<double> next(contexts);
  double distance = 1;
  for (int i = 0; i < kMaxIterations && distance > kStationaryTolerance; ++i) {
    std::fill(next.begin(), next.end(), 0);
    for (int64_t context = 0; context < num_contexts_; ++context) {
      const int64_t first = context * config_.states % num_contexts_;
      const double mass = stationary_[as_index(context)];
      for (int64_t token = 0; token < config_.states; ++token) {
        next[as_index(first + token)] += mass * probability(context, token);
      }
    }
    distance = 0;
    for (size_t context = 0; context < contexts; ++context) distance += std::abs(next[context] - stationary_[context]);
    stationary_.swap(next);
  }
  MOE_CHECK(distance <= 1e-9, "the stationary distribution did not converge: {}", distance);

  for (int64_t context = 0; context < num_contexts_; ++context) {
    double entropy = 0;
    for (int64_t token = 0; token < config_.states; ++token) {
      const double p = probability(context, token);
      entropy -= p * std::log(p);
    }
    entropy_rate_ += stationary_[as_index(context)] * entropy;
  }
}

std::vector<int32_t> SyntheticSource::generate(uint32_t stream, int64_t num_tokens) const {
  const RandomKey key{config_.seed, RandomPurpose::synthetic_data, stream + 1, 0};
  // The first context is drawn from the stationary distribution, so that the first tokens have the same distribution as
  // all others.
  int64_t context = num_contexts_ - 1;
  double left = open_uniform({config_.seed, RandomPurpose::synthetic_data, stream + 1, 1}, 0);
  for (int64_t candidate = 0; candidate < num_contexts_; ++candidate) {
    left -= stationary_[as_index(candidate)];
    if (left < 0) {
      context = candidate;
      break;
    }
  }
  std::vector<int32_t> tokens(static_cast<size_t>(num_tokens));
  for (size_t i = 0; i < tokens.size(); ++i) {
    const double* row = cumulative_.data() + context * config_.states;
    const double* chosen = std::upper_bound(row, row + config_.states - 1, open_uniform(key, i));
    tokens[i] = static_cast<int32_t>(chosen - row);
    context = (context * config_.states + tokens[i]) % num_contexts_;
  }
  return tokens;
}

}  // namespace moe
