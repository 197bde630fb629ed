// CurriculumSampler: which samples a step is made of. A sample is a number in [0, samples); what it stands for (a
// window of text, a labelled image) is no business of a sampler. Draws are functions of (seed, step, store), the same
// on every rank. Members are in samplers/, the table in curriculum_sampler.cpp.
#pragma once
#include <array>

#include "data/curriculum/difficulty_store.h"

namespace moe {

// What a sample was drawn as.
enum class DrawnAs : uint8_t { any, explore, revisit, easy, medium, hard };
inline constexpr std::array kDrawnAs = {"any", "explore", "revisit", "easy", "medium", "hard"};
using DrawCounts = std::array<double, kDrawnAs.size()>;

struct Drawn {
  int64_t sample = 0;
  double weight = 1;  // of its loss in the training objective
  DrawnAs as = DrawnAs::any;
  bool even = false;  // see Observation
};

// What a sampler needs to know of the samples.
struct DifficultyUse {
  bool score = false;          // a store that is kept up to date
  bool frozen = false;         // a store that stays as it was given
  bool weights = false;        // samples' losses weigh differently
  SampleSignalSet averages{};  // kept beside the score, with their mean and largest
};

// Base of the samplers' options.
struct SamplerOptions {
  virtual ~SamplerOptions() = default;
  virtual DifficultyUse use() const { return {}; }
};

// Where a step stands when every row of the batch reads on where it stopped.
struct StreamPlace {
  int64_t pass = 0;  // over the samples
  int64_t step = 0;  // of this pass; at 0 the rows begin anew
};

class CurriculumSampler {
 public:
  struct Setup {
    int64_t samples = 0;
    int64_t batch = 0;  // over all ranks
    uint64_t seed = 0;
    RunLength run{};
    const DifficultyStore* store = nullptr;  // where there is one
  };
  virtual ~CurriculumSampler() = default;

  // batch.size() is the setup's batch.
  virtual void draw(int64_t step, std::span<Drawn> batch) const = 0;
  // After the step, before the store is told of the step's samples; losses (batch).
  virtual void observe(int64_t /*step*/, std::span<const Drawn> /*batch*/, std::span<const double> /*losses*/) {}
  // The share of the difficulties that is open.
  virtual double open(int64_t /*step*/) const { return 1; }
  // Mean numbers of samples, by what they are to be drawn as; nothing where samples are drawn as `any`.
  virtual std::optional<DrawCounts> wanted(int64_t /*step*/) const { return std::nullopt; }
  // Where samples of neighbouring steps follow one another, row by row; nothing where they do not.
  virtual std::optional<StreamPlace> stream(int64_t /*step*/) const { return std::nullopt; }
  // What draw() needs besides the store.
  virtual nlohmann::json state() const;
  virtual void restore(const nlohmann::json& /*state*/) {}
};

}  // namespace moe
