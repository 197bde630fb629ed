// The collapse alarm: goes off when a layer's busiest expert has had too large a share, or its router too little
// entropy, for a number of updates in a row (moe.alarm).
#pragma once
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "core/model/model.h"

namespace moe {

class CollapseAlarm {
 public:
  // What went beyond its limit in a MoE layer.
  struct Event {
    size_t moe_layer;      // index among the model's MoE layers
    int layer;             // the block
    const char* quantity;  // "share" or "entropy"
    double value, limit;
    int64_t expert;  // the layer's busiest
    std::string in_words() const;
  };

  CollapseAlarm(const AlarmConfig& config, size_t moe_layers);

  bool is_on() const { return config_.share > 0 || config_.entropy > 0; }
  // After an update, of whose statistics the model's sums are those of the whole step: the same on every rank. A layer
  // that is told of has to be beyond the limit as long again before the next time.
  std::vector<Event> observe(const Model& model);

  // What a restart needs of the model's layers, of the same update: the experts' shares, and in layers that an event
  // tells of those with less than a tenth of a fair share, the least used first; at least the least used one.
  struct UnderUsed {
    std::vector<std::vector<double>> use;
    std::vector<std::vector<int64_t>> experts;
  };
  static UnderUsed under_used(const Model& model, const std::vector<Event>& events);

  // For checkpoints: how long each layer has been beyond each limit, and what its balance losses were raised by; null
  // when the alarm is off. restore() throws CheckpointError, which names `path`, for what no such alarm wrote.
  nlohmann::json state(const Model& model) const;
  void restore(Model& model, const nlohmann::json& state, const std::string& path);

 private:
  AlarmConfig config_;
  std::vector<int64_t> updates_;  // (MoE layers, 2): in a row, of share and entropy
};

}  // namespace moe
