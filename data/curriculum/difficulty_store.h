// Stores the difficulty of a run's samples: for each sample a score, a moving average of each signal and the step of
// its last visit, in 6 + 2 * signals bytes. It is a function of the observations and their order alone, so ranks with
// the same observations hold the same store.
#pragma once
#include <array>
#include <functional>
#include <optional>
#include <span>
#include <string>

#include "core/base/integer.h"
#include "core/base/json.h"
#include "core/config/curriculum_config.h"
#include "data/curriculum/running_quantiles.h"
#include "data/curriculum/score_histogram.h"
#include "data/keyed_permutation.h"

namespace moe {

using SignalValues = std::array<double, kNumMeasuredSignals>;

// One visit to a sample.
struct Observation {
  int64_t sample = 0;
  SignalValues values{};  // values of the measured signals
  // The sample was drawn without regard to its score. Such samples are the reference by which signals are standardised.
  bool even = false;
};

class DifficultyStore {
 public:
  struct Setup {
    int64_t samples = 0;
    std::array<double, kNumSampleSignals> weights{};
    SampleSignalSet kept{};  // signals of weight 0 whose averages are kept too
    double decay = 0.5;
    int64_t window = 256;
    // Seed of the order in which unseen samples are explored, which is the order of uniform sampling's first epoch.
    uint64_t seed = 0;
  };
  explicit DifficultyStore(const Setup& setup);

  int64_t num_samples() const { return setup_.samples; }
  const SampleSignalSet& signals() const { return signals_; }
  int64_t seen() const { return scores_.total(); }
  bool is_seen(int64_t sample) const { return score_[as_index(sample)] != kNoScore; }
  // The score of a seen sample: the moving average of its standardised, weighted signals. Signals are standardised by
  // the evenly drawn samples at the time of each visit, because all samples become easier as the model learns.
  double score(int64_t sample) const { return decode_score(score_[as_index(sample)]); }
  // The share of the seen samples that are easier, in [0, 1); samples of equal score have a fixed order.
  double rank(int64_t sample) const;
  // The score at a quantile in [0, 1] of the seen samples.
  double score_quantile(double q) const { return scores_.quantile(q); }
  // The average of a seen sample, in the signal's unit; nothing for signals that are not kept.
  std::optional<double> average(SampleSignal signal, int64_t sample) const;
  // The maximum and the mean of the averages of the seen samples; only for signals in Setup::kept.
  double largest_average(SampleSignal signal) const;
  double mean_average(SampleSignal signal) const;
  // The update after which a sample was last seen, counted from 1; 0 = never in this run.
  int64_t last_seen(int64_t sample) const { return last_seen_[as_index(sample)]; }
  // The latest values of a signal for evenly drawn samples.
  const RunningQuantiles& recent(SampleSignal signal) const { return recent_[index_of(signal)]; }

  // Samples in the order of exploration: the first explored() are all seen.
  int64_t explored() const { return explored_; }
  int64_t sample_at(int64_t place) const { return order_(place); }

  // Records the samples of update `step`, counted from 0, in the order of the step's batch.
  void observe(int64_t step, std::span<const Observation> visits);

  // Bytes of memory.
  static int64_t bytes_for(const Setup& setup);
  int64_t bytes() const { return bytes_for(setup_); }
  // `about` is stored with it: a description of the data, and the state of the sampler.
  using Sink = std::function<void(const void* data, size_t bytes)>;
  void write(const Sink& sink, const Json& about) const;
  // Restores what write() wrote. Signals that the file lacks start without a history. A store with the same number of
  // samples is restored with its order of exploration. From a store with another number, sample i takes the values at i
  // * theirs / ours, and all samples count as seen, with the median score where the file has none. `fresh`: resets all
  // last visits to "never in this run". Returns `about`. Throws CheckpointError for an unreadable or damaged file.
  Json read(const std::string& path, bool fresh);

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

// Reads only the header: the number of samples, the signals and `about`. Throws CheckpointError.
Json read_store_header(const std::string& path);

}  // namespace moe
