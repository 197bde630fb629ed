// Measures how the experts of each layer are used, and moves them between the ranks of the expert group when
// parallel.placement asks for it; with parallel.replicas it also chooses copies. Decisions depend only on sums over all
// ranks, so all ranks decide the same. With one rank in a group nothing is measured or moved.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/base/json.h"
#include "core/moe/placement.h"
#include "core/step/training_state.h"

namespace moe {

// What placing the experts of one layer again changed, by what was measured since the last time.
struct LayerPlacement {
  int layer = 0;                                   // index of the block
  int64_t experts = 0, moved = 0;                  // number of experts; number of those that changed their rank
  int64_t copies = 0;                              // afterwards
  double busiest_before = 1, busiest_after = 1;    // rows of the busiest rank, relative to the mean
  double together_before = 0, together_after = 0;  // share of the pairs on one rank, or host; only if they are counted
};

class ExpertPlacement {
 public:
  // Throws the UsageErrors of the placement. `replicas`: parallel.replicas.
  ExpertPlacement(const Choice<Placement>& choice, const RunLength& run, int64_t replicas = 0);

  const std::string& kind() const { return kind_; }
  bool counts_pairs() const { return placement_->counts_pairs(); }
  bool moves() const { return placement_->moves(); }
  bool replicates() const { return replicas_ > 0; }
  // Whether experts may move between the ranks of these groups.
  bool is_active(const ProcessGroups& groups) const { return moves() && groups.expert->size() > 1; }

  // Called after an update whose sums are complete.
  void observe(const Model& model, const ProcessGroups& groups);
  // Whether the experts are placed again after `step` updates.
  bool is_due(int64_t step, const ProcessGroups& groups) const { return is_active(groups) && placement_->is_due(step); }
  // Places the experts of every layer again, moves them, chooses copies, and starts to measure from zero. Collective.
  std::vector<LayerPlacement> place(TrainingState& state, const ProcessGroups& groups);
  // Number of updates that were measured since the last time.
  int64_t updates() const { return updates_; }
  // Called when the model was built again, with other experts: what was measured no longer fits.
  void forget();

  // State for checkpoints: the maps, the copies and what was measured; null if nothing moves. It names global experts.
  Json save(const Model& model, const ProcessGroups& groups) const;
  // Gives a new model, before its tensors are read, the maps and copies of a checkpoint, and goes on measuring where
  // that run stopped. Once the tensors are read, the caller must update the copies. With another number of ranks in the
  // expert group, the experts stay in contiguous shares, without copies, until they are placed again, by what was
  // measured; copies that exceed parallel.replicas are left out alike. Pairs that were not counted make the measurement
  // start again. Null, and a configuration in which nothing moves, leave all as it is. Throws CheckpointError, which
  // names `path`, for anything that save() did not write.
  void restore(const Json& saved, Model& model, const ProcessGroups& groups, const std::string& path);

 private:
  struct Measured {
    std::vector<double> rows, pairs;  // since the last time
  };
  void prepare(const Model& model);
  // The copies of a layer in a checkpoint; none where they do not fit. Null for anything that save() did not write.
  std::optional<Replicas> replicas_from(const Json& layer, const ExpertMap& map) const;

  std::string kind_;
  std::unique_ptr<Placement> placement_;
  int64_t replicas_ = 0;
  int64_t updates_ = 0;
  std::vector<Measured> layers_;
};

}  // namespace moe
