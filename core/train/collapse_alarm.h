// The collapse alarm (moe.alarm): it is raised when a layer's most used expert has too large a share, or the layer's
// router has too low an entropy, for a number of consecutive updates.
#pragma once
#include <string>
#include <vector>

#include "core/base/json.h"
#include "core/model/model.h"

namespace moe {

class CollapseAlarm {
 public:
  // A quantity of a MoE layer that was beyond its limit.
  struct Event {
    size_t moe_layer;      // index among the model's MoE layers
    int layer;             // index of the block
    const char* quantity;  // "share" or "entropy"
    double value, limit;
    int64_t expert;  // the layer's most used expert
    std::string in_words() const;
  };

  CollapseAlarm(const AlarmConfig& config, size_t moe_layers);

  bool is_on() const { return config_.share > 0 || config_.entropy > 0; }
  // Called after an update, when the model's sums are those of the whole step, so the result is the same on every rank.
  // After an event, the layer's count of updates starts again from 0.
  std::vector<Event> observe(const Model& model);

  // Input for a restart, from the same update: the experts' shares in all layers, and for layers with an event the
  // experts with less than a tenth of a fair share, least used first, but at least the least used one.
  struct UnderUsed {
    std::vector<std::vector<double>> use;
    std::vector<std::vector<int64_t>> experts;
  };
  static UnderUsed under_used(const Model& model, const std::vector<Event>& events);

  // State for checkpoints: for how many updates each layer has been beyond each limit, and the factor by which its
  // balance losses were raised; null if the alarm is off. restore() throws CheckpointError, which names `path`, if the
  // state does not fit.
  Json state(const Model& model) const;
  void restore(Model& model, const Json& state, const std::string& path);

 private:
  AlarmConfig config_;
  std::vector<int64_t> updates_;  // (MoE layers, 2): consecutive updates beyond the limits of share and entropy
};

}  // namespace moe
