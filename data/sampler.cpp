#include "data/sampler.h"

#include <algorithm>

#include "core/base/check.h"
#include "core/base/integer.h"
#include "data/keyed_permutation.h"

namespace moe {

constexpr uint32_t kOrderStream = 0;
constexpr uint32_t kOffsetStream = 1;

int64_t shuffled_sample(uint64_t seed, int64_t num_samples, int64_t draw) {
  const KeyedPermutation order(
      num_samples, {seed, RandomPurpose::sampling, kOrderStream, static_cast<uint64_t>(draw / num_samples)});
  return order(draw % num_samples);
}

Sampler::Sampler(const SamplerConfig& config) : config_(config) {
  MOE_CHECK(config.length > 0 && config.batch > 0, "windows of {} tokens, batches of {}", config.length, config.batch);
  if (config.num_tokens < config.length + 1) {
    raise<DataError>("the training split has {} tokens; a window of length {} needs {}", config.num_tokens,
                     config.length, config.length + 1);
  }
  // With a corpus of less than two windows the grid cannot shift by its full range.
  max_offset_ = std::min(config.length - 1, config.num_tokens - 1 - config.length);
  num_windows_ = (config.num_tokens - 1 - max_offset_) / config.length;
}

double Sampler::epoch(int64_t step) const {
  return static_cast<double>(step) * static_cast<double>(config_.batch) / static_cast<double>(num_windows_);
}

int64_t Sampler::window_start(int64_t epoch, int64_t window) const {
  const RandomKey key{config_.seed, RandomPurpose::sampling, kOffsetStream, static_cast<uint64_t>(epoch)};
  const auto offset = static_cast<int64_t>(key.bits(0) % static_cast<uint64_t>(max_offset_ + 1));
  return offset + window * config_.length;
}

void Sampler::sample(int64_t step, std::span<int64_t> window_starts) const {
  MOE_CHECK(step >= 0 && static_cast<int64_t>(window_starts.size()) == config_.batch, "step {}, {} windows of {}", step,
            window_starts.size(), config_.batch);
  const int64_t first = step * config_.batch;
  for (int64_t i = 0; i < config_.batch; ++i) {
    const int64_t window = shuffled_sample(config_.seed, num_windows_, first + i);
    window_starts[as_index(i)] = window_start(epoch_of(first + i), window);
  }
}

}  // namespace moe
