#include "data/curriculum/mix.h"

namespace moe {

void MixConfig::fields(FieldVisitor& v) {
  v.schedule("easy", easy, "Share of easy samples in a batch, before the shares are divided by their sum.");
  v.schedule("medium", medium, "Share of medium samples in a batch, before the shares are divided by their sum.");
  v.schedule("hard", hard, "Share of hard samples in a batch, before the shares are divided by their sum.");
}

Mix::Mix(const MixConfig& config, const RunLength& run)
    : parts_{config.easy.make(run), config.medium.make(run), config.hard.make(run)} {
  constexpr int64_t kProbes = 256;
  for (int64_t i = 0; i <= kProbes; ++i) {
    const auto update = static_cast<uint64_t>(std::max<int64_t>(run.total_updates - 1, 0) * i / kProbes);
    double sum = 0;
    for (const Scheduled& p : parts_) sum += p.at(update);
    if (sum > 0) continue;
    raise<UsageError>("{}: easy, medium and hard are all 0 at update {}; at least one must be above 0", config.key(),
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
