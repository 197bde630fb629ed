// On which updates a layer's experts compete: drawn per layer, capped per update, the same on every rank.
#pragma once
#include <vector>

#include "core/base/philox.h"
#include "core/schedule/scheduled.h"

namespace moe {

class CompetitionSteps {
 public:
  struct Setup {
    Scheduled probability;      // of a layer's competing in an update
    int64_t draw_every = 1;     // one draw holds for so many updates
    int64_t max_layers = 0;     // that compete in one update; 0 = all may
    double first_update = 0;    // none competes before
    int layer = 0, layers = 1;  // this one among the MoE layers
  };
  explicit CompetitionSteps(Setup setup) : setup_(std::move(setup)) {}

  bool competes(uint64_t seed, uint64_t update);

 private:
  void draw_window(uint64_t seed, uint64_t window);

  Setup setup_;
  // The window of updates that `mine_` is of; every layer draws all layers' to know which have room.
  uint64_t seed_ = 0, window_ = ~uint64_t{0};
  std::vector<bool> mine_;
};

}  // namespace moe
