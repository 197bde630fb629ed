// How a batch is divided among easy, medium and hard samples, and how many of something a step gets when the mean is no
// whole number.
#pragma once
#include <algorithm>
#include <array>
#include <cmath>

#include "core/config/curriculum_config.h"
#include "core/config/schedule_field.h"
#include "core/schedule/scheduled.h"

namespace moe {

struct MixConfig : Fields<MixConfig> {
  ScheduleField easy{linearly(0.40, 0.25), {0, 1e6}}, medium{linearly(0.45, 0.50), {0, 1e6}},
      hard{linearly(0.15, 0.25), {0, 1e6}};
  void fields(FieldVisitor& v) override {
    v.schedule("easy", easy, "Of easy samples.");
    v.schedule("medium", medium, "Of medium samples.");
    v.schedule("hard", hard, "Of hard samples.");
  }
};

class Mix {
 public:
  Mix(const MixConfig& config, const RunLength& run);
  // Easy, medium, hard at an update; they add up to 1.
  std::array<double, 3> at(int64_t update) const;

 private:
  std::array<Scheduled, 3> parts_;
};

// `total` places divided by `shares`, which add up to 1, as whole numbers: each the share rounded down or up, with the
// share as its mean over u, uniform in [0, 1).
template <size_t N>
std::array<int64_t, N> divide_places(int64_t total, const std::array<double, N>& shares, double u) {
  std::array<int64_t, N> places{};
  double bound = 0;
  int64_t before = 0;
  for (size_t i = 0; i < N; ++i) {
    bound += shares[i] * static_cast<double>(total);
    const int64_t end = i + 1 == N ? total : std::min(static_cast<int64_t>(std::floor(bound + u)), total);
    places[i] = end - before;
    before = end;
  }
  return places;
}

// How many of `batch * share` per step, in the mean, fall to one step: over any n steps the sum is n * batch * share
// rounded down or up.
inline int64_t places_of_step(int64_t step, int64_t batch, double share) {
  const double each = static_cast<double>(batch) * share;
  return static_cast<int64_t>(std::floor(static_cast<double>(step + 1) * each) -
                              std::floor(static_cast<double>(step) * each));
}

}  // namespace moe
