// Divides a batch among easy, medium and hard samples, and rounds a mean number per step that is not whole.
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
  void fields(FieldVisitor& v) override;
};

class Mix {
 public:
  Mix(const MixConfig& config, const RunLength& run);
  // Easy, medium, hard at an update; they add up to 1.
  std::array<double, 3> at(int64_t update) const;

 private:
  std::array<Scheduled, 3> parts_;
};

// Divides `total` places by `shares`, which add up to 1, into whole numbers: each is its share rounded down or up, and
// its mean over u, uniform in [0, 1), is the share.
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

// The number of places of one step when the mean per step is batch * share: the sum over any n steps is n * batch *
// share rounded down or up.
inline int64_t places_of_step(int64_t step, int64_t batch, double share) {
  const double each = static_cast<double>(batch) * share;
  return static_cast<int64_t>(std::floor(static_cast<double>(step + 1) * each) -
                              std::floor(static_cast<double>(step) * each));
}

}  // namespace moe
