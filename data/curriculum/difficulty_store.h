// What a run knows of its samples' difficulty: for each a score, a moving average of each signal and when it was last
// seen, in 6 + 2 * signals bytes. It is a function of the observations alone, in their order: ranks that observe the
// same hold the same.
#pragma once
#include <array>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>

#include "core/config/curriculum_config.h"
#include "data/curriculum/running_quantiles.h"
#include "data/curriculum/score_histogram.h"
#include "data/keyed_permutation.h"

namespace moe {

using SignalValues = std::array<double, kNumMeasuredSignals>;

// One visit to a sample.
struct Observation {
  int64_t sample = 0;
  SignalValues values{};  // of the signals that are measured
  // It was drawn without regard to its score: such samples are what others are measured against.
  bool even = false;
};

class DifficultyStore {
 public:
  struct Setup {
    int64_t samples = 0;
    std::array<double, kNumSampleSignals> weights{};
    SampleSignalSet kept{};  // signals of weight 0 whose averages are wanted nevertheless
    double decay = 0.5;
    int64_t window = 256;
    // Of the order in which unseen samples are explored: that of the first epoch of uniform sampling.
    uint64_t seed = 0;
  };
  explicit DifficultyStore(const Setup& setup);

  int64_t num_samples() const { return setup_.samples; }
  const SampleSignalSet& signals() const { return signals_; }
  int64_t seen() const { return scores_.total(); }
  bool is_seen(int64_t sample) const { return score_[static_cast<size_t>(sample)] != kNoScore; }
  // Of a seen sample: the moving average of its standardised, weighted signals. Standardised by what evenly drawn
  // samples showed at the time of each visit, because a model that learns makes all samples easier.
  double score(int64_t sample) const { return decode_score(score_[static_cast<size_t>(sample)]); }
  // The share of the seen samples that are easier, in [0, 1); equal scores have an order of their own.
  double rank(int64_t sample) const;
  // The score at a quantile in [0, 1] of the seen samples.
  double score_quantile(double q) const { return scores_.quantile(q); }
  // Of a seen sample, in the signal's own unit; nothing for signals that are not kept.
  std::optional<double> average(SampleSignal signal, int64_t sample) const;
  // The largest and the mean average among seen samples; only for signals in Setup::kept.
  double largest_average(SampleSignal signal) const;
  double mean_average(SampleSignal signal) const;
  // The update after which a sample was last seen, counted from 1; 0 = never in this run.
  int64_t last_seen(int64_t sample) const { return last_seen_[static_cast<size_t>(sample)]; }
  // A signal among the latest evenly drawn samples.
  const RunningQuantiles& recent(SampleSignal signal) const { return recent_[index_of(signal)]; }

  // Samples in the order of exploration: the first explored() are all seen.
  int64_t explored() const { return explored_; }
  int64_t sample_at(int64_t place) const { return order_(place); }

  // The samples of update `step`, counted from 0, in the order of the step's batch.
  void observe(int64_t step, std::span<const Observation> visits);

  // Of memory.
  static int64_t bytes_for(const Setup& setup);
  int64_t bytes() const { return bytes_for(setup_); }
  // `about` is kept with it: what data it describes, and what a sampler has to remember.
  using Sink = std::function<void(const void* data, size_t bytes)>;
  void write(const Sink& sink, const nlohmann::json& about) const;
  // Takes over what write() wrote. Signals that the file lacks begin without a past. A store of as many samples is
  // taken with its order of exploration; of another number, sample i gets what the file has at i * theirs / ours, and
  // all count as seen, with the median score where it knows nothing. `anew`: nothing was seen in this run yet. Returns
  // `about`. Throws CheckpointError for an unreadable or damaged file.
  nlohmann::json read(const std::string& path, bool anew);

 private:
  struct Average {
    std::vector<uint16_t> codes;
    std::optional<ScoreHistogram> histogram;
  };
  double score_of(const Observation& visit) const;
  double value_of(SampleSignal signal, const Observation& visit) const;

  Setup setup_;
  SampleSignalSet signals_;
  KeyedPermutation order_;
  uint64_t order_seed_;
  int64_t explored_ = 0;
  std::vector<uint16_t> score_;
  std::array<Average, kNumSampleSignals> averages_;
  std::vector<uint32_t> last_seen_;
  ScoreHistogram scores_;
  std::vector<RunningQuantiles> recent_;  // by signal
};

// What write() was given, without the rest of the file. Throws CheckpointError.
nlohmann::json read_store_header(const std::string& path);

}  // namespace moe
