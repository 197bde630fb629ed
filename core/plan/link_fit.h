// Latency and rate of a link from the times of messages of several sizes.
#pragma once
#include <vector>

namespace moe {

struct MessageTime {
  double bytes, seconds;
};

// seconds = latency + bytes / rate. The latency is at least 0 and the rate above 0, whatever was measured.
struct LinkFit {
  double latency, rate;
};

// By least squares of relative errors. `times`: at least one, by size.
LinkFit fit_all_sizes(const std::vector<MessageTime>& times);
// From the smallest and the largest size alone: what plans are about is many bytes, and links may let bursts pass.
LinkFit fit_ends(const std::vector<MessageTime>& times);

}  // namespace moe
