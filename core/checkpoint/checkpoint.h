// Checkpoints of a run: folders such as step_00000500 with the model, the optimizer's states and the run's state. Every
// global expert has its own tensors, so any rank layout can read what another wrote. A folder counts as a checkpoint
// once it contains the file COMPLETE. state.json lists the other files with their sizes and hashes (of tensor files: of
// the header, which holds the tensors' hashes), and has a hash of itself.
#pragma once
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "comm/process_groups.h"
#include "core/base/json.h"
#include "core/base/units.h"
#include "core/checkpoint/checkpoint_tensors.h"
#include "core/checkpoint/files.h"

namespace moe {

// The state of a run besides its tensors.
struct RunState {
  int64_t step = 0;                   // number of updates made
  RunLength length;                   // planned length of the run
  double tokens = 0;                  // number of tokens trained on
  std::optional<double> best_loss;    // of the best evaluation, in nats per prediction
  std::optional<double> best_figure;  // of the best evaluation: the task's first metric, if a larger one is better
  int64_t best_step = 0;
  int64_t evaluations_since_best = 0;
  double unlogged_loss = 0;    // sum over the steps since the last record of metrics.jsonl
  int64_t unlogged_steps = 0;  // number of these steps
  // For each corpus of a mixture: the sum of its samples' losses since the last record, and their number.
  std::vector<std::pair<double, double>> unlogged_sources;
  // Whether what is due after the step (evaluation, sample) was done; a signal ends a run before it.
  bool step_finished = true;
  // Added to the step where samples are drawn: it keeps the place in the data when a run goes on with another batch.
  int64_t draw_shift = 0;
  Json alarm;     // state of the collapse alarm, and the factor on each layer's balance losses
  Json capacity;  // state of each MoE layer's capacity; null when none has a state
  Json experts;   // what became of them by moe.lifecycle; null without
  // A signal may end a run between the events of moe.lifecycle of its step, or before the loss after the last change of
  // experts was measured. Then: the number of records that metrics.jsonl has of these events, and the records of the
  // last change, which lack that loss, with their cause (null: there is no such change).
  int64_t lifecycle_records = 0;
  Json unmeasured_change;
  // Which rank of an expert group held which expert, and what was measured of them; null without parallel.placement.
  Json placement;
  // What the checkpoint's optimizer keeps; save() writes it. Version 0.1.0, whose only one was AdamW, did not list it.
  std::vector<std::string> optimizer_states{"first_moment", "second_moment"};
  Json identity;  // hashes of data, vocabulary: what must be the same on resume
};

// A file of a checkpoint besides the tensor files.
struct CheckpointFile {
  CheckpointFile(std::string n, std::string text)
      : name(std::move(n)), write([t = std::move(text)](const FileSink& sink) { sink(t.data(), t.size()); }) {}
  CheckpointFile(std::string n, std::function<void(const FileSink&)> w) : name(std::move(n)), write(std::move(w)) {}

  std::string name;
  std::function<void(const FileSink&)> write;
};

// Tensors that differ between ranks. Each rank that has any writes a file NAME-RANK-of-RANKS.safetensors.
struct RankTensors {
  std::string name;
  std::vector<NamedTensor> tensors;
};

class CheckpointFolder {
 public:
  // `folder`: the folder checkpoints/ of a run
  explicit CheckpointFolder(std::string folder) : folder_(std::move(folder)) {}

  // The steps of the complete checkpoints, in ascending order. Throws CheckpointError if the folder cannot be listed.
  std::vector<int64_t> steps() const;
  std::optional<int64_t> last() const;
  // The complete checkpoint of the best evaluation, by the file BEST. None if that file is damaged.
  std::optional<int64_t> best() const;
  // Whether there is a file BEST that does not name a step.
  bool best_is_damaged() const;
  std::string path(int64_t step) const;
  // What interrupted processes left in the folder: checkpoints without COMPLETE, and folders of unfinished ones.
  std::vector<std::string> remains() const;

  // Writes a checkpoint; collective. Every expert-parallel rank of the first data-parallel copy writes its experts,
  // rank 0 writes the other parameters and `files` (configuration, tokenizer, difficulties), and every rank writes its
  // own tensors. A failure leaves other checkpoints as they are. `require_folder` is called on rank 0 once the folder
  // of the unfinished checkpoint exists, and throws if it was made in a folder that took the place of the run's: it is
  // removed then, and one that passed cannot be written elsewhere later. Throws CheckpointError, on all ranks if one of
  // them cannot write its files, with that rank's reason.
  void save(const RunState& state, const ParameterStore& parameters, const Optimizer& optimizer,
            const ProcessGroups& groups, const std::vector<CheckpointFile>& files, const RankTensors& of_rank = {},
            const std::function<void()>& require_folder = {}) const;
  // One process: writes the checkpoint of a model alone, without an optimizer. `write_model` writes its tensors to the
  // path that it is given. Throws CheckpointError.
  void save_model(const RunState& state, const std::function<void(const std::string& path)>& write_model,
                  const std::vector<CheckpointFile>& files) const;
  // Rank 0: replaces the state of a complete checkpoint, that of state.step; tensors and files stay.
  void replace_state(const RunState& state) const;
  void mark_best(int64_t step) const;
  // Deletes all but the newest `keep_last` and, with `keep_best`, the best. Rank 0 only.
  void prune(int64_t keep_last, bool keep_best) const;
  // Rank 0: removes what remains() lists.
  void remove_remains() const;
  // Rank 0: renames a damaged checkpoint, so that it no longer counts as one, and returns its new path.
  std::string set_aside(int64_t step) const;

 private:
  std::optional<int64_t> step_in_best() const;

  std::string folder_;
};

// Reads the state of a run from a checkpoint's folder, and compares its files with the sizes and hashes in the state.
// Throws DamagedCheckpoint, and CheckpointError for files that cannot be read or have another format.
RunState load_run_state(const std::string& path);
// Returns the folder of the checkpoint that a user means by the path of a run or of a checkpoint. `which`: last, best
// or a step. Throws CheckpointError, which lists the existing checkpoints.
std::string find_checkpoint(const std::string& run_or_checkpoint, const std::string& which);

}  // namespace moe
