// A random Markov source whose entropy rate is known exactly. In expectation no model has a loss below it, and a model
// that learns the source completely reaches it. The rows of the transition matrix are drawn from a symmetric Dirichlet
// distribution.
#pragma once
#include <cstdint>
#include <vector>

#include "core/base/json.h"

namespace moe {

struct SyntheticConfig {
  int64_t states = 32;         // vocabulary
  int64_t order = 1;           // a token depends on this many before it
  double concentration = 0.1;  // concentration of the Dirichlet rows: small is predictable, large is uniform
  uint64_t seed = 1;
  int64_t train_tokens = 1'000'000;
  int64_t validation_tokens = 50'000;
  int64_t test_tokens = 50'000;

  bool operator==(const SyntheticConfig&) const = default;
};

Json to_json(const SyntheticConfig& config);

class SyntheticSource {
 public:
  // Throws UsageError for a config that is out of range or whose matrix would have more than 2^24 entries.
  explicit SyntheticSource(const SyntheticConfig& config);

  // Nats per token.
  double entropy_rate() const { return entropy_rate_; }
  // The stationary probability of each context (states ^ order of them; the latest token is the lowest digit).
  const std::vector<double>& stationary() const { return stationary_; }
  // The probability of `token` after `context`.
  double probability(int64_t context, int64_t token) const;

  // A sequence drawn from the stationary source; a pure function of the config's seed and `stream` (one per split). A
  // longer sequence of the same stream starts with the shorter one.
  std::vector<int32_t> generate(uint32_t stream, int64_t num_tokens) const;

 private:
  void draw_rows();
  void find_stationary();

  SyntheticConfig config_;
  int64_t num_contexts_ = 1;
  std::vector<double> cumulative_;  // (contexts, states)
  std::vector<double> stationary_;  // (contexts)
  double entropy_rate_ = 0;
};

}  // namespace moe
