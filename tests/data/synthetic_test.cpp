#include "data/synthetic.h"

#include <algorithm>
#include <cmath>

#include "core/base/error.h"
#include "core/base/integer.h"
#include "tests/support/catch.h"

namespace moe {

TEST_CASE("the rows and the stationary distribution of a synthetic source are distributions") {
  for (const SyntheticConfig& config :
       {SyntheticConfig{5, 1, 0.5, 3}, SyntheticConfig{3, 3, 0.01, 4}, SyntheticConfig{2, 1, 50, 9}}) {
    const SyntheticSource source(config);
    const auto contexts = static_cast<int64_t>(source.stationary().size());
    double total = 0;
    std::vector<double> next(source.stationary().size(), 0.0);
    for (int64_t context = 0; context < contexts; ++context) {
      total += source.stationary()[as_index(context)];
      double row = 0;
      for (int64_t token = 0; token < config.states; ++token) {
        const double p = source.probability(context, token);
        CHECK(p > 0);
        row += p;
        next[as_index((context * config.states + token) % contexts)] += p * source.stationary()[as_index(context)];
      }
      CHECK(row == Approx(1).epsilon(1e-12));
    }
    CHECK(total == Approx(1).epsilon(1e-10));
    for (size_t context = 0; context < next.size(); ++context) {
      CHECK(next[context] == Approx(source.stationary()[context]).margin(1e-11));
    }
  }
}

TEST_CASE("the entropy rate is the true model's loss on the source's own text") {
  const SyntheticConfig config{16, 2, 0.2, 11};
  const SyntheticSource source(config);
  const int64_t num_tokens = 400'000;
  const std::vector<int32_t> tokens = source.generate(0, num_tokens);
  double nats = 0;
  for (size_t i = 2; i < tokens.size(); ++i) {
    nats -= std::log(source.probability(tokens[i - 2] * 16 + tokens[i - 1], tokens[i]));
  }
  CHECK(nats / static_cast<double>(num_tokens - 2) == Approx(source.entropy_rate()).epsilon(0.01));
  CHECK(source.entropy_rate() < 0.8 * std::log(16));
}

TEST_CASE("two states have the textbook's entropy rate") {
  const SyntheticSource source({2, 1, 1, 2});
  const double up = source.probability(0, 1);
  const double down = source.probability(1, 0);
  const auto entropy = [](double p) { return -p * std::log(p) - (1 - p) * std::log(1 - p); };
  CHECK(source.entropy_rate() == Approx((down * entropy(up) + up * entropy(down)) / (up + down)).epsilon(1e-9));
}

TEST_CASE("concentration leads from predictable to uniform") {
  CHECK(SyntheticSource({16, 1, 0.01, 1}).entropy_rate() < 0.5);
  CHECK(SyntheticSource({16, 1, 1e5, 1}).entropy_rate() == Approx(std::log(16)).epsilon(1e-3));
}

TEST_CASE("synthetic text depends only on seed and stream") {
  const SyntheticSource source({8, 1, 0.3, 7});
  const auto tokens = source.generate(0, 1000);
  CHECK(tokens == SyntheticSource({8, 1, 0.3, 7}).generate(0, 1000));
  CHECK(tokens != source.generate(1, 1000));
  CHECK(tokens != SyntheticSource({8, 1, 0.3, 8}).generate(0, 1000));
  const auto longer = source.generate(0, 2000);
  CHECK(std::equal(tokens.begin(), tokens.end(), longer.begin()));
}

TEST_CASE("an impossible synthetic source is a usage error") {
  for (const SyntheticConfig& config : {SyntheticConfig{1}, SyntheticConfig{8, 0}, SyntheticConfig{8, 1, 0},
                                        SyntheticConfig{256, 3}, SyntheticConfig{8, 1, std::nan("")}}) {
    CHECK_THROWS_AS(SyntheticSource(config), UsageError);
  }
}

}  // namespace moe
