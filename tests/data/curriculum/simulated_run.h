// A curriculum without a model: a function gives the samples' signals.
#pragma once
#include <cmath>
#include <functional>
#include <string>

#include "core/config/config_reader.h"
#include "data/curriculum/curriculum.h"

namespace moe {

inline CurriculumConfig curriculum_config(const std::string& yaml) {
  CurriculumConfig config;
  read_config(parse_config(yaml, "test"), config);
  return config;
}

struct SimulatedRun {
  SimulatedRun(const std::string& yaml, int64_t num_samples, int64_t batch_size, int64_t updates = 1000,
               const std::string& given = "", const Json& data = "these", uint64_t seed = 7)
      : config(curriculum_config(yaml)),
        samples(num_samples),
        batch(batch_size),
        curriculum({config, samples, batch, seed, RunLength{updates, static_cast<double>(batch), 1}, data}, given) {}

  // signals(sample, step, values)
  using Signals = std::function<void(int64_t, int64_t, SignalValues&)>;
  std::vector<Drawn> step(const Signals& signals) {
    const auto drawn = curriculum.draw(now);
    std::vector<Drawn> copy(drawn.begin(), drawn.end());
    std::vector<double> all;
    for (const Drawn& d : copy) {
      SignalValues values{};
      signals(d.sample, now, values);
      all.insert(all.end(), values.begin(), values.end());
    }
    curriculum.observe(now++, all);
    return copy;
  }

  CurriculumConfig config;
  int64_t samples, batch;
  Curriculum curriculum;
  int64_t now = 0;
};

// A loss that grows with the sample's index, like all other signals, and decreases during the run.
inline void graded(int64_t sample, int64_t step, SignalValues& values, double samples = 1000) {
  const double difficulty = static_cast<double>(sample) / samples;
  values.fill(1 + difficulty + 3 * std::exp(-static_cast<double>(step) / 50));
}

}  // namespace moe
