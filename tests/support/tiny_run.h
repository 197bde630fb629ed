// A small model with everything that a training step needs, from a few lines of YAML, and batches of random samples for
// it.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "core/base/philox.h"
#include "core/step/train_step.h"

namespace moe {

// The configuration `yaml` over the defaults, read as strictly as a user's file.
TrainConfig config_from(const std::string& yaml);

// The shape of the tests' samples: texts with `vocab` kinds of tokens; with `task: classify` images or, with their
// format, sounds of data.sequence patches in `vocab` classes or, with a text format, labelled texts of up to
// data.sequence tokens with `vocab` kinds of tokens and `vocab` classes; with `task: pairs` images of data.sequence - 1
// patches and texts of up to data.sequence tokens or, with a format of sounds, sounds of data.sequence patches.
SampleShape tiny_shape(const TrainConfig& config, int64_t vocab);

// The tasks, and of labelled samples the kinds, that none of these configurations has. Tests of whole steps require
// that nothing is missing, so a new task or kind fails them until it is added.
std::vector<std::string> missing_tasks(const std::vector<TrainConfig>& configs);

// A step's whole batch, of which every rank takes its slice.
struct RandomBatch {
  RandomBatch(const TrainConfig& config, int64_t vocab, uint64_t seed, uint64_t step = 0);
  LocalBatch share(const Communicator& world) const;
  // The same labelled texts with `more` additional padding tokens.
  RandomBatch padded(int64_t more) const;

  int64_t sequences, time, patch_features, modalities = 1;
  std::vector<int32_t> inputs, targets, domains, labels, lengths, document_begins, document_ends;
  std::vector<float> features;
  std::vector<double> weights;  // (sequences), or empty

 private:
  void divide(bool fit, const RandomKey& key);
  void draw_pairs(const SampleShape& shape, const RandomKey& key, const RandomKey& pixels);
};

struct TinyRun {
  TinyRun(const TrainConfig& config, int64_t vocab, ProcessGroups groups, Precision precision, Device device);
  TinyRun(const TrainConfig& config, int64_t vocab, ProcessGroups groups, DType storage = DType::f32,
          Device device = Device::cpu);
  TinyRun(const TinyRun&) = delete;

  StepOutcome accumulate(const RandomBatch& batch, int64_t update = 0) {
    return step.accumulate(batch.share(*groups.world), update, 0);
  }
  StepOutcome run(const RandomBatch& batch, int64_t update, double learning_rate) {
    return step.run(batch.share(*groups.world), update, learning_rate, 0);
  }
  void clear_gradients();

  TrainConfig config;
  ProcessGroups groups;
  TrainingState state;
  TrainStep step;
};

// Copies by checkpoint name, as f64.
std::map<std::string, std::vector<double>> named_values(TinyRun& run);
std::map<std::string, std::vector<double>> named_gradients(TinyRun& run);

// The optimizer's states of this rank's parameters, as "first_moment.NAME". Collective if they are divided among ranks.
std::map<std::string, std::vector<double>> named_states(TinyRun& run);
// Both values and states.
std::map<std::string, std::vector<double>> everything_named(TinyRun& run);

// The norm of the difference, relative to the norm of the expected values.
double distance(const std::vector<double>& actual, const std::vector<double>& expected);

}  // namespace moe
