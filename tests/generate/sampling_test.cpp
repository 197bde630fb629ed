#include "core/generate/sampling.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <vector>

#include "tests/support/catch.h"

using namespace moe;

namespace {

const std::vector<float> kLogits = {0.5f, 2.0f, -1.0f, 1.0f, 2.0f, 9.0f};
constexpr int64_t kVocab = 5;  // the last logit belongs to no token

std::map<int32_t, double> shares(const SamplingOptions& options, const std::vector<int32_t>& text = {}) {
  TokenSampler sampler;
  std::map<int32_t, double> count;
  constexpr int kDraws = 20000;
  for (int i = 0; i < kDraws; ++i)
    count[sampler.draw(kLogits, kVocab, options, text, (i + 0.5) / kDraws)] += 1.0 / kDraws;
  return count;
}

// e^(logit / temperature) of the ids, divided by their sum.
std::map<int32_t, double> softmax(const std::vector<int32_t>& ids, double temperature,
                                  std::vector<float> logits = kLogits) {
  std::map<int32_t, double> result;
  double total = 0;
  for (const int32_t id : ids) total += std::exp(logits[static_cast<size_t>(id)] / temperature);
  for (const int32_t id : ids) result[id] = std::exp(logits[static_cast<size_t>(id)] / temperature) / total;
  return result;
}

void check_shares(const std::map<int32_t, double>& actual, const std::map<int32_t, double>& expected) {
  REQUIRE(actual.size() == expected.size());
  for (const auto& [id, share] : expected) CHECK(actual.at(id) == Approx(share).margin(2e-4));
}

}  // namespace

TEST_CASE("tokens are drawn with the probabilities of the softmax at the temperature") {
  for (const double temperature : {0.3, 1.0, 5.0}) {
    check_shares(shares({.temperature = temperature}), softmax({0, 1, 2, 3, 4}, temperature));
  }
}

TEST_CASE("temperature 0 takes the most likely token, the smallest id among equals") {
  check_shares(shares({.temperature = 0}), {{1, 1.0}});
  check_shares(shares({.temperature = 0, .top_k = 3, .top_p = 0.1, .min_p = 0.5}), {{1, 1.0}});
}

TEST_CASE("top-k keeps the k most likely tokens") {
  check_shares(shares({.temperature = 1, .top_k = 1}), {{1, 1.0}});
  check_shares(shares({.temperature = 1, .top_k = 3}), softmax({1, 4, 3}, 1));
  check_shares(shares({.temperature = 1, .top_k = 100}), softmax({0, 1, 2, 3, 4}, 1));
}

TEST_CASE("top-p keeps the fewest most likely tokens that have the probability together") {
  const std::map<int32_t, double> all = softmax({0, 1, 2, 3, 4}, 1);
  check_shares(shares({.temperature = 1, .top_p = 0.01}), {{1, 1.0}});
  check_shares(shares({.temperature = 1, .top_p = all.at(1) + 0.01}), softmax({1, 4}, 1));
  check_shares(shares({.temperature = 1, .top_p = all.at(1) + all.at(4) + all.at(3) + 0.01}), softmax({0, 1, 3, 4}, 1));
  // Of the tokens that top-k leaves.
  check_shares(shares({.temperature = 1, .top_k = 2, .top_p = 0.49}), {{1, 1.0}});
  check_shares(shares({.temperature = 1, .top_k = 2, .top_p = 0.51}), softmax({1, 4}, 1));
}

TEST_CASE("min-p keeps tokens with that share of the largest probability") {
  check_shares(shares({.temperature = 1, .min_p = 0.3}), softmax({1, 3, 4}, 1));
  check_shares(shares({.temperature = 1, .min_p = 1}), softmax({1, 4}, 1));
}

TEST_CASE("the repetition penalty makes tokens of the text less likely, once each") {
  std::vector<float> changed = kLogits;
  changed[1] = 1.0f;
  changed[2] = -2.0f;
  check_shares(shares({.repetition_penalty = 2, .temperature = 1}, {1, 2, 1}), softmax({0, 1, 2, 3, 4}, 1, changed));
}

TEST_CASE("every draw is a token, also at the ends of the interval") {
  TokenSampler sampler;
  for (const double uniform : {0.0, 0x1p-60, 1 - 0x1p-53}) {
    for (const SamplingOptions& options :
         {SamplingOptions{.temperature = 1e-3}, SamplingOptions{.temperature = 1e9},
          SamplingOptions{.temperature = 1, .top_k = 2, .top_p = 0.999, .min_p = 0.1}}) {
      const int32_t id = sampler.draw(kLogits, kVocab, options, {}, uniform);
      CHECK((id >= 0 && id < kVocab));
    }
  }
}
