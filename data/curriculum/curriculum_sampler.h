// CurriculumSampler: chooses the samples of a step. A sample is a number in [0, samples); a sampler does not depend on
// what it stands for (a window of text, a labelled image). Draws are functions of (seed, step, store) and the same on
// every rank. Members are in samplers/, the table is in curriculum_sampler.cpp.
#pragma once
#include <array>

#include "data/curriculum/difficulty_store.h"

namespace moe {

// The category as which a sample was drawn.
enum class DrawnAs : uint8_t { any, explore, revisit, easy, medium, hard };
inline constexpr std::array kDrawnAs = {"any", "explore", "revisit", "easy", "medium", "hard"};
using DrawCounts = std::array<double, kDrawnAs.size()>;

struct Drawn {
  int64_t sample = 0;
  double weight = 1;  // weight of its loss in the training objective
  DrawnAs as = DrawnAs::any;
  bool even = false;  // see Observation
};

// The information about the samples that a sampler needs.
struct DifficultyUse {
  bool score = false;          // needs a store that is kept up to date
  bool frozen = false;         // needs a store that is not updated
  bool weights = false;        // samples' losses have different weights
  SampleSignalSet averages{};  // averages kept beside the score, with their mean and maximum
};

// Base of the samplers' options.
struct SamplerOptions {
  virtual ~SamplerOptions() = default;
  virtual DifficultyUse use() const { return {}; }
};

// The position of a step when every row of the batch continues where it stopped.
struct StreamPlace {
  int64_t pass = 0;  // number of the pass over the samples
  int64_t step = 0;  // step within this pass; at 0 the rows start again
};

class CurriculumSampler {
 public:
  struct Setup {
    int64_t samples = 0;
    int64_t batch = 0;  // over all ranks
    uint64_t seed = 0;
    RunLength run{};
    const DifficultyStore* store = nullptr;  // null where there is no store
  };
  virtual ~CurriculumSampler() = default;

  // batch.size() is the setup's batch.
  virtual void draw(int64_t step, std::span<Drawn> batch) const = 0;
  // Called after the step, before the store is updated with the step's samples; losses (batch).
  virtual void observe(int64_t /*step*/, std::span<const Drawn> /*batch*/, std::span<const double> /*losses*/) {}
  // The share of the samples, by difficulty, that is open.
  virtual double open(int64_t /*step*/) const { return 1; }
  // Mean number of samples to be drawn per category; nothing where samples are drawn as `any`.
  virtual std::optional<DrawCounts> wanted(int64_t /*step*/) const { return std::nullopt; }
  // Set where the samples of consecutive steps follow one another, row by row.
  virtual std::optional<StreamPlace> stream(int64_t /*step*/) const { return std::nullopt; }
  // The state that draw() needs besides the store.
  virtual Json state() const;
  virtual void restore(const Json& /*state*/) {}
};

}  // namespace moe
