#include "data/curriculum/score_histogram.h"

#include <algorithm>
#include <cmath>

#include "core/base/check.h"
#include "core/base/integer.h"

namespace moe {

static constexpr double kUnit = 0x1p-16;

ScoreHistogram::ScoreHistogram(std::span<const uint16_t> codes) : ScoreHistogram() {
  std::vector<int32_t> counts(kScoreCodes);
  for (const uint16_t code : codes) ++counts[code];
  counts[kNoScore] = 0;
  for (int code = 0; code < kScoreCodes; ++code) {
    const auto count = counts[as_index(code)];
    if (count > 0) change(static_cast<uint16_t>(code), count);
  }
}

void ScoreHistogram::change(uint16_t code, int32_t by) {
  for (int i = code + 1; i <= kScoreCodes; i += i & -i) tree_[as_index(i)] += by;
  total_ += by;
  sum_ += by * std::llround(decode_score(code) / kUnit);
}

double ScoreHistogram::mean() const {
  return total_ > 0 ? static_cast<double>(sum_) * kUnit / static_cast<double>(total_) : 0;
}

int64_t ScoreHistogram::below(uint16_t code) const {
  int64_t sum = 0;
  for (int i = code; i > 0; i -= i & -i) sum += tree_[as_index(i)];
  return sum;
}

int64_t ScoreHistogram::count(uint16_t code) const {
  // The two paths to the root meet; only the nodes before the meeting point are visited.
  int64_t sum = tree_[static_cast<size_t>(code) + 1];
  const int end = (code + 1) & code;
  for (int i = code; i > end; i -= i & -i) sum -= tree_[as_index(i)];
  return sum;
}

uint16_t ScoreHistogram::at_rank(int64_t rank) const {
  MOE_CHECK(rank >= 0 && rank < total_, "rank {} of {}", rank, total_);
  int place = 0;
  for (int step = kScoreCodes; step > 0; step /= 2) {
    const int next = place + step;
    if (next <= kScoreCodes && tree_[as_index(next)] <= rank) {
      rank -= tree_[as_index(next)];
      place = next;
    }
  }
  return static_cast<uint16_t>(place);
}

double ScoreHistogram::quantile(double q) const {
  if (total_ == 0) return 0;
  return decode_score(
      at_rank(std::clamp<int64_t>(static_cast<int64_t>(q * static_cast<double>(total_)), 0, total_ - 1)));
}

}  // namespace moe
