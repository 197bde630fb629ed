// Counts the samples with each score code in a Fenwick tree of 256 KiB. It gives exact quantiles of millions of scores
// that change one at a time; a change or a query costs 16 additions.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "data/curriculum/score_code.h"

namespace moe {

class ScoreHistogram {
 public:
  ScoreHistogram() : tree_(kScoreCodes + 1) {}
  // Counts a list, faster than one by one; kNoScore is not counted.
  explicit ScoreHistogram(std::span<const uint16_t> codes);

  void add(uint16_t code) { change(code, 1); }
  void remove(uint16_t code) { change(code, -1); }

  int64_t total() const { return total_; }
  // The mean of all counted values. It is exact, so it does not depend on the order of changes.
  double mean() const;
  // The number of counted codes below `code`.
  int64_t below(uint16_t code) const;
  int64_t count(uint16_t code) const;
  // The code at position `rank` in sorted order: 0 is the smallest; rank < total().
  uint16_t at_rank(int64_t rank) const;
  // The value at a quantile in [0, 1]; 0 when nothing is counted.
  double quantile(double q) const;

 private:
  void change(uint16_t code, int32_t by);

  std::vector<int32_t> tree_;
  int64_t total_ = 0;
  int64_t sum_ = 0;  // in units of kUnit
};

}  // namespace moe
