// Which training windows a step sees: a pure function of (seed, step), whatever the number of ranks or
// micro-batches. A window is length + 1 tokens: the inputs, and the same shifted by one as targets.
#pragma once
#include <cstdint>
#include <span>

namespace moe {

struct SamplerConfig {
  int64_t num_tokens = 0;  // of the split
  int64_t length = 0;
  int64_t batch = 0;  // sequences per step, over all ranks
  uint64_t seed = 0;
};

// Which of `num_samples` samples is drawn as number `draw` (counted from 0) of endless epochs: each sees every sample
// once, in an order of its own.
int64_t shuffled_sample(uint64_t seed, int64_t num_samples, int64_t draw);

// The corpus is cut into num_windows() windows side by side. An epoch sees each once, in an order of its own;
// and it shifts the cuts by an offset below `length` of its own, so that the same tokens meet other contexts.
// Sample number n = step * batch
// + i decides the epoch and the place in it, so a batch may reach into the next epoch.
class Sampler {
 public:
  // DataError when not even one window fits.
  explicit Sampler(const SamplerConfig& config);

  int64_t num_windows() const { return num_windows_; }
  int64_t batch() const { return config_.batch; }
  double epoch(int64_t step) const;  // epochs begun and finished before `step`: 1.5 is halfway through the second

  // The first tokens of the windows of `step`; window_starts.size() == batch. Ranks take their share of it.
  void sample(int64_t step, std::span<int64_t> window_starts) const;
  // The epoch that draw number `draw` falls in.
  int64_t epoch_of(int64_t draw) const { return draw / num_windows_; }
  // The first token of window `window` of [0, num_windows()) in the grid of `epoch`.
  int64_t window_start(int64_t epoch, int64_t window) const;

 private:
  SamplerConfig config_;
  int64_t max_offset_ = 0;
  int64_t num_windows_ = 0;
};

}  // namespace moe
