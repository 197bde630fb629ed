// The curriculum of a run: the sampler that draws each step's samples, the store of the samples' measured difficulty,
// and the metrics of both.
#pragma once
#include <functional>

#include "core/base/json.h"
#include "core/config/train_config.h"
#include "data/curriculum/curriculum_sampler.h"

namespace moe {

// The signals that a training step has to measure for a configuration.
SampleSignalSet measured_signals(const CurriculumConfig& config);

// The same with those that a mixture of corpora needs: the loss of each.
SampleSignalSet measured_signals(const TrainConfig& config);

// Whether a step's samples have loss weights.
bool draws_weights(const CurriculumConfig& config);

// Whether a run starts from a store that another run made and that is not updated.
bool needs_given_store(const CurriculumConfig& config);

// Bytes of a run's store on each rank; 0 where there is none.
int64_t store_bytes(const CurriculumConfig& config, int64_t samples);

class Curriculum {
 public:
  struct Setup {
    const CurriculumConfig& config;
    int64_t samples = 0;
    int64_t batch = 0;  // over all ranks
    uint64_t seed = 0;
    RunLength run{};
    Json data{};  // identifies the samples; a store of other samples is refused
  };
  // Throws UsageError for options that are inconsistent, and CheckpointError for a store `given` that is damaged or
  // describes other data. Does not allocate a store, so it costs no memory.
  static void check(const Setup& setup, const std::string& given);
  // Reads `given`, unless it is empty: the file of another run's store (curriculum.from). Throws as check() does.
  Curriculum(const Setup& setup, const std::string& given);

  bool has_store() const { return store_.has_value(); }
  const DifficultyStore& store() const { return *store_; }

  // The samples of an update, counted from 0; valid until the next call. All ranks draw the same.
  std::span<const Drawn> draw(int64_t step);
  std::optional<StreamPlace> stream(int64_t step) const { return sampler_->stream(step); }
  // The share of the samples, by difficulty, that is open at a step.
  double open(int64_t step) const { return sampler_->open(step); }
  // Records the step's measurements: values (batch, kNumMeasuredSignals), the same on every rank.
  void observe(int64_t step, std::span<const double> values);

  // Updates the store as if the first `count` samples in the order of exploration had been seen before the run.
  void meet(int64_t count, const std::function<SignalValues(int64_t sample)>& signals);

  // Metrics since the last call of clear(), for a record of metrics.jsonl. Empty for uniform sampling without a store.
  Json record() const;
  void clear();

  // The state in a checkpoint. read() throws CheckpointError.
  static constexpr const char* kFile = "difficulty.bin";
  void write(const DifficultyStore::Sink& sink) const;
  void read(const std::string& path);

 private:
  Json data_;
  std::optional<DifficultyStore> store_;
  bool frozen_ = false;
  std::unique_ptr<CurriculumSampler> sampler_;
  std::vector<Drawn> drawn_;
  std::vector<Observation> visits_;
  std::vector<double> losses_;
  // Since the last record.
  DrawCounts counts_{}, wanted_{};
  bool has_wanted_ = false;
  double open_ = 1, weighted_loss_ = 0, steps_ = 0;
};

}  // namespace moe
