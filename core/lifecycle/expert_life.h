// The life of a run's experts (moe.life): what they were used for, which event is due, and what is left to do then. It
// decides by sums over all ranks alone, so every rank and every layout decides alike.
#pragma once
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <optional>

#include "core/moe/expert_event.h"
#include "core/step/training_state.h"

namespace moe {

// Of each MoE layer, in their order.
using LayerNumbers = std::vector<ExpertNumbers>;

// The numbers that a configuration gives its MoE layers.
LayerNumbers configured_experts(const ModelConfig& model, const MoEConfig& moe);
// The configuration of a model with such numbers.
TrainConfig with_experts(TrainConfig config, const LayerNumbers& numbers);
// The smallest and the largest number of experts.
int64_t fewest(const LayerNumbers& numbers);
int64_t most(const LayerNumbers& numbers);
// "8" where all layers have as many, else "8, 8, 16".
std::string to_words(const LayerNumbers& numbers);
// Those of a checkpoint, from RunState::experts; null leaves the configuration as it is. Throws CheckpointError, which
// names `path`, for what was not written by save().
TrainConfig with_saved_experts(TrainConfig config, const nlohmann::json& saved, const std::string& path);

// What is to be done to the experts of all MoE layers.
struct ExpertChange {
  std::string kind;
  LayerNumbers before, after;           // of each MoE layer
  double noise = 0, router_noise = 0;   // over the root mean square of what they are added to
  std::vector<ExpertMapping> mappings;  // of each MoE layer
};

// Under-used experts start again from the busiest, in a layer of any strategy but the hierarchical: `dead` has the
// experts of each MoE layer, the least used first, `use` their shares. For whoever finds experts dead by itself.
ExpertChange restart_experts(const std::vector<std::vector<double>>& use, const std::vector<std::vector<int64_t>>& dead,
                             const LayerNumbers& numbers, double noise, double router_noise);

class ExpertLife {
 public:
  // Throws UsageError as the events do.
  ExpertLife(const ModelConfig& model, const MoEConfig& moe, const RunLength& run);

  bool empty() const { return events_.empty(); }

  // After an update whose sums are complete.
  void observe(const Model& model);

  // Before an update, once `step` of them are made and the curriculum has opened a share `open` of the difficulties:
  // calls `change` for each event that happens, in the order of the configuration; `change` must have been carried out
  // when it returns. `state()` is what is trained.
  void happen(int64_t step, double open, const std::function<TrainingState&()>& state,
              const std::function<void(const ExpertChange&)>& change);

  const LayerNumbers& numbers() const { return numbers_; }
  // Shares of the assignments of each MoE layer's experts, moving averages.
  std::vector<std::vector<double>> use() const;

  // For checkpoints; null without events. restore() throws CheckpointError, which names `path`.
  nlohmann::json save() const;
  void restore(const nlohmann::json& saved, const std::string& path);

 private:
  struct Event {
    std::unique_ptr<ExpertEvent> event;
    int64_t happened = 0, opened = 0;       // times; levels of the curriculum that it has answered
    std::vector<std::vector<int64_t>> low;  // by layer and expert: ExpertUse::low
  };
  bool is_due(const Event& event, int64_t step, double open) const;
  std::optional<ExpertChange> change_by(const Event& event, TrainingState& state) const;
  void prepare(size_t layers);
  void apply(const ExpertChange& change);

  LayerNumbers numbers_;
  std::vector<Event> events_;
  double weight_ = 0;                      // of the moving averages: what of the beginning they have seen
  std::vector<std::vector<double>> sums_;  // by layer and expert
};

}  // namespace moe
