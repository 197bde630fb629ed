// Chooses the training windows of a step: a pure function of (seed, step), independent of the number of ranks or
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

// Returns the sample drawn by draw `draw` (counted from 0) of endless epochs. Each epoch visits each of the
// `num_samples` samples once, in its own order.
int64_t shuffled_sample(uint64_t seed, int64_t num_samples, int64_t draw);

// The corpus is cut into num_windows() adjacent windows. An epoch visits each once, in its own order, and shifts the
// cuts by its own offset below `length`, so that the same tokens appear in different contexts. Draw n = step * batch +
// i determines the epoch and the position in it, so a batch may extend into the next epoch.
class Sampler {
 public:
  // Throws DataError when not even one window fits.
  explicit Sampler(const SamplerConfig& config);

  int64_t num_windows() const { return num_windows_; }
  int64_t batch() const { return config_.batch; }
  double epoch(int64_t step) const;  // epochs completed before `step`; 1.5 is halfway through the second

  // The first tokens of the windows of `step`; window_starts.size() == batch. Each rank takes its slice of them.
  void sample(int64_t step, std::span<int64_t> window_starts) const;
  // The epoch of draw number `draw`.
  int64_t epoch_of(int64_t draw) const { return draw / num_windows_; }
  // The first token of window `window` of [0, num_windows()) in the grid of `epoch`.
  int64_t window_start(int64_t epoch, int64_t window) const;

 private:
  SamplerConfig config_;
  int64_t max_offset_ = 0;
  int64_t num_windows_ = 0;
};

}  // namespace moe
