// The lifecycle of a run's experts (moe.lifecycle): their use, the events that are due, and the changes these make.
// Decisions depend only on sums over all ranks, so all ranks and all layouts decide the same.
#pragma once
#include <functional>
#include <optional>

#include "core/base/json.h"
#include "core/moe/expert_event.h"
#include "core/step/training_state.h"

namespace moe {

// Numbers of each MoE layer, in their order.
using LayerNumbers = std::vector<ExpertNumbers>;

// The numbers that a configuration gives its MoE layers.
LayerNumbers configured_experts(const ModelConfig& model, const MoEConfig& moe);
// The configuration of a model with these numbers of experts.
TrainConfig with_experts(TrainConfig config, const LayerNumbers& numbers);
// The smallest and the largest number of experts.
int64_t fewest(const LayerNumbers& numbers);
int64_t most(const LayerNumbers& numbers);
// "8" where all layers have the same number, else "8, 8, 16".
std::string to_words(const LayerNumbers& numbers);
// Sets the numbers of a checkpoint, from RunState::experts; null leaves the configuration unchanged. Throws
// CheckpointError, which names `path`, for anything that save() did not write.
TrainConfig with_saved_experts(TrainConfig config, const Json& saved, const std::string& path);

// A change of the experts of all MoE layers.
struct ExpertChange {
  std::string kind;
  LayerNumbers before, after;           // of each MoE layer
  double noise = 0, router_noise = 0;   // relative to the root mean square of the values they are added to
  std::vector<ExpertMapping> mappings;  // of each MoE layer
};

// Restarts under-used experts from the busiest, in layers of any strategy but the hierarchical one. `dead` holds the
// experts of each MoE layer, the least used first; `use` holds their shares. For callers that find dead experts
// themselves.
ExpertChange restart_experts(const std::vector<std::vector<double>>& use, const std::vector<std::vector<int64_t>>& dead,
                             const LayerNumbers& numbers, double noise, double router_noise);

class ExpertLifecycle {
 public:
  // Throws the UsageErrors of the events.
  ExpertLifecycle(const ModelConfig& model, const MoEConfig& moe, const RunLength& run);

  bool empty() const { return events_.empty(); }

  // Called after an update whose sums are complete.
  void observe(const Model& model);

  // Called before an update, when `step` updates have been made and the curriculum has opened a share `open` of the
  // samples by difficulty. Calls `change` for each event that is due, in the order of the configuration; `change` must
  // have carried it out when it returns. If it returns false, the later events of the step wait for the next call for
  // the same step, also in a run that is resumed. `state()` returns the training state.
  void happen(int64_t step, double open, const std::function<TrainingState&()>& state,
              const std::function<bool(const ExpertChange&)>& change);

  const LayerNumbers& numbers() const { return numbers_; }
  // Moving averages of each expert's share of the assignments, for each MoE layer.
  std::vector<std::vector<double>> use() const;

  // State for checkpoints; null without events. restore() throws CheckpointError, which names `path`.
  Json save() const;
  void restore(const Json& saved, const std::string& path);

 private:
  struct Event {
    std::unique_ptr<ExpertEvent> event;
    int64_t happened = 0, opened = 0;       // number of times it happened; curriculum levels that it has responded to
    std::vector<std::vector<int64_t>> low;  // by layer and expert: ExpertUse::low
  };
  bool is_due(const Event& event, int64_t step, double open) const;
  std::optional<ExpertChange> change_by(const Event& event, TrainingState& state) const;
  void prepare(size_t layers);
  void apply(const ExpertChange& change);

  LayerNumbers numbers_;
  std::vector<Event> events_;
  int64_t step_ = -1;                      // of the last call of happen()
  size_t next_ = 0;                        // the first event that it has not looked at
  double weight_ = 0;                      // total weight of the moving averages, which start at 0
  std::vector<std::vector<double>> sums_;  // by layer and expert
};

}  // namespace moe
