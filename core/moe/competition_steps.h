// The updates in which a layer's experts compete: drawn per layer, limited per update, the same on every rank.
#pragma once
#include <vector>

#include "core/base/philox.h"
#include "core/schedule/scheduled.h"

namespace moe {

class CompetitionSteps {
 public:
  struct Setup {
    Scheduled probability;      // that a layer competes in an update
    int64_t draw_every = 1;     // updates for which one draw holds
    int64_t max_layers = 0;     // maximum that compete in one update; 0 = no limit
    double first_update = 0;    // no layer competes before it
    int layer = 0, layers = 1;  // index of this layer among the MoE layers, and their number
  };
  explicit CompetitionSteps(Setup setup) : setup_(std::move(setup)) {}

  bool competes(uint64_t seed, uint64_t update);

 private:
  void draw_window(uint64_t seed, uint64_t window);

  Setup setup_;
  // The window of updates for which `mine_` holds. Every layer draws for all layers, because the limit per update
  // depends on all of them.
  uint64_t seed_ = 0, window_ = ~uint64_t{0};
  std::vector<bool> mine_;
};

}  // namespace moe
