#include "core/moe/competition_steps.h"

#include "core/base/integer.h"

#include <algorithm>

namespace moe {

// Updates that are drawn together. A competition is only moved within its window.
static constexpr uint64_t kWindow = 1000;

bool CompetitionSteps::competes(uint64_t seed, uint64_t update) {
  if (window_ != update / kWindow || seed_ != seed) draw_window(seed, update / kWindow);
  return mine_[update % kWindow];
}

void CompetitionSteps::draw_window(uint64_t seed, uint64_t window) {
  seed_ = seed;
  window_ = window;
  const auto layers = static_cast<size_t>(setup_.layers);
  std::vector<std::vector<bool>> competes(layers, std::vector<bool>(kWindow, false));
  std::vector<int64_t> count(kWindow, 0);
  for (size_t layer = 0; layer < layers; ++layer) {
    for (uint64_t i = 0; i < kWindow; ++i) {
      const uint64_t update = window * kWindow + i, draw = update / static_cast<uint64_t>(setup_.draw_every);
      const RandomKey key{seed, RandomPurpose::strategy, static_cast<uint32_t>(layer), draw};
      if (static_cast<double>(update) < setup_.first_update || key.uniform(0) >= setup_.probability.at(update))
        continue;
      competes[layer][i] = true;
      ++count[i];
    }
  }
  if (setup_.max_layers > 0) {
    // A competition above the limit moves to the nearest update with room, the earlier of two equally near ones.
    // Without such an update it is dropped.
    for (uint64_t i = 0; i < kWindow; ++i) {
      for (size_t layer = layers; layer-- > 0 && count[i] > setup_.max_layers;) {
        if (!competes[layer][i]) continue;
        competes[layer][i] = false;
        --count[i];
        const auto has_room = [&](int64_t at) {
          return at >= 0 && at < static_cast<int64_t>(kWindow) &&
                 static_cast<double>(window * kWindow) + static_cast<double>(at) >= setup_.first_update &&
                 count[as_index(at)] < setup_.max_layers && !competes[layer][as_index(at)];
        };
        for (int64_t distance = 1; distance < static_cast<int64_t>(kWindow); ++distance) {
          const int64_t before = static_cast<int64_t>(i) - distance, after = static_cast<int64_t>(i) + distance;
          if (!has_room(before) && !has_room(after)) continue;
          const auto at = static_cast<size_t>(has_room(before) ? before : after);
          competes[layer][at] = true;
          ++count[at];
          break;
        }
      }
    }
  }
  mine_ = std::move(competes[as_index(setup_.layer)]);
}

}  // namespace moe
