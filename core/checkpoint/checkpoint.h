// Checkpoints of a run: folders step_00000500 with the model, the optimizer and the run's state, one tensor per global
// expert, so that any rank layout can read what any other wrote. A folder counts only once it holds the file COMPLETE.
#pragma once
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "comm/process_groups.h"
#include "core/base/units.h"
#include "core/checkpoint/files.h"
#include "core/optim/optimizer.h"

namespace moe {

// What a run is besides its tensors.
struct RunState {
  int64_t step = 0;                     // updates made
  RunLength length;                     // that the run is meant to have
  double tokens = 0;                    // trained on
  std::optional<double> best_loss;      // of the best evaluation, nats per prediction
  std::optional<double> best_accuracy;  // likewise, where that is what counts
  int64_t best_step = 0;
  int64_t evaluations_since_best = 0;
  double unlogged_loss = 0;    // sum over the steps since the last record of metrics.jsonl,
  int64_t unlogged_steps = 0;  // of which there are so many
  nlohmann::json alarm;        // the collapse alarm's state, and what each layer's balance losses were raised by
  nlohmann::json capacity;     // what each MoE layer's capacity remembers; null when they have nothing to
  nlohmann::json experts;      // what became of them by moe.lifecycle; null without
  nlohmann::json identity;     // hashes of data, vocabulary: what must be the same on resume
};

// A file beside the tensors.
struct CheckpointFile {
  CheckpointFile(std::string n, std::string text)
      : name(std::move(n)), write([t = std::move(text)](const FileSink& sink) { sink(t.data(), t.size()); }) {}
  CheckpointFile(std::string n, std::function<void(const FileSink&)> w) : name(std::move(n)), write(std::move(w)) {}

  std::string name;
  std::function<void(const FileSink&)> write;
};

// Tensors that every rank has of its own: a file NAME-RANK-of-RANKS.safetensors for each, where there are any.
struct RankTensors {
  std::string name;
  std::vector<NamedTensor> tensors;
};

class CheckpointFolder {
 public:
  // `folder`: the run's checkpoints/
  explicit CheckpointFolder(std::string folder) : folder_(std::move(folder)) {}

  // Complete checkpoints, by step.
  std::vector<int64_t> steps() const;
  std::optional<int64_t> last() const;
  std::optional<int64_t> best() const;
  std::string path(int64_t step) const;

  // Writes one, collectively: every expert-parallel rank of the first data-parallel copy its experts, rank 0 the rest.
  // Rank 0 also writes `files` (configuration, tokenizer, difficulties), every rank its own tensors. Nothing changes
  // for other checkpoints when it fails. Throws CheckpointError.
  void save(const RunState& state, const ParameterStore& parameters, const Optimizer& optimizer,
            const ProcessGroups& groups, const std::vector<CheckpointFile>& files,
            const RankTensors& of_rank = {}) const;
  void mark_best(int64_t step) const;
  // Deletes all but the newest `keep_last` and, with `keep_best`, the best. Rank 0 only.
  void prune(int64_t keep_last, bool keep_best) const;

 private:
  std::string folder_;
};

// What a run is besides its tensors, out of one checkpoint's folder. Throws CheckpointError.
RunState load_run_state(const std::string& path);
// Values, and the optimizer's tensors where `optimizer` is not null. Throws CheckpointError, also when the checkpoint
// was written by an optimizer that keeps other tensors.
void load_tensors(const std::string& path, ParameterStore& parameters, const Optimizer* optimizer);

// The checkpoint's folder that a user means by a run's or a checkpoint's path; `which`: last, best or a step. Throws
// CheckpointError that says what is there.
std::string find_checkpoint(const std::string& run_or_checkpoint, const std::string& which);

}  // namespace moe
