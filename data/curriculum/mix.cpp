#include "data/curriculum/mix.h"

namespace moe {

static Paced part(const char* name, const Choice<Schedule>& choice, const RunLength& run) {
  return {fmt::format("curriculum.sampler.mix.{}", name), choice, run, {0, 1e6}};
}

Mix::Mix(const MixConfig& config, const RunLength& run)
    : parts_{part("easy", config.easy, run), part("medium", config.medium, run), part("hard", config.hard, run)} {
  constexpr int64_t kProbes = 256;
  for (int64_t i = 0; i <= kProbes; ++i) {
    const auto update = static_cast<uint64_t>(std::max<int64_t>(run.total_updates - 1, 0) * i / kProbes);
    double sum = 0;
    for (const Paced& p : parts_) sum += p.at(update);
    if (sum > 0) continue;
    raise<UsageError>("curriculum.sampler.mix: easy, medium and hard are all 0 at update {}; what is to be drawn?",
                      update);
  }
}

std::array<double, 3> Mix::at(int64_t update) const {
  std::array<double, 3> shares{};
  double sum = 0;
  for (size_t i = 0; i < shares.size(); ++i) sum += shares[i] = parts_[i].at(static_cast<uint64_t>(update));
  for (double& share : shares) share /= sum;
  return shares;
}

}  // namespace moe
