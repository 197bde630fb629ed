// How many samples have each score code: exact quantiles of millions of scores that change one at a time, at the price
// of 16 additions for a change or a question, in 256 KiB (a Fenwick tree).
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "data/curriculum/score_code.h"

namespace moe {

class ScoreHistogram {
 public:
  ScoreHistogram() : tree_(kScoreCodes + 1) {}
  // Of a list, faster than one by one; kNoScore does not count.
  explicit ScoreHistogram(std::span<const uint16_t> codes);

  void add(uint16_t code) { change(code, 1); }
  void remove(uint16_t code) { change(code, -1); }

  int64_t total() const { return total_; }
  // Of all numbers that are counted; exact, so that it does not depend on the order of changes.
  double mean() const;
  // How many are below a code.
  int64_t below(uint16_t code) const;
  int64_t count(uint16_t code) const;
  // The code with `rank` others at or below it, in order: 0 asks for the smallest; rank < total().
  uint16_t at_rank(int64_t rank) const;
  // The number at a quantile in [0, 1]; 0 when nothing is counted.
  double quantile(double q) const;

 private:
  void change(uint16_t code, int32_t by);

  std::vector<int32_t> tree_;
  int64_t total_ = 0;
  int64_t sum_ = 0;  // in units of kUnit
};

}  // namespace moe
