#include "data/curriculum/score_histogram.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "core/base/philox.h"
#include "data/curriculum/running_quantiles.h"
#include "tests/support/catch.h"

namespace moe {

TEST_CASE("score codes keep values to a thousandth, and their order") {
  double before = -std::numeric_limits<double>::infinity();
  for (int code = 1; code < kScoreCodes; ++code) {
    const double value = decode_score(static_cast<uint16_t>(code));
    REQUIRE(value > before);
    REQUIRE(encode_score(value) == code);
    before = value;
  }
  for (const double value : {1e-9, 3e-5, 0.1, 0.9999, 1.0, 2.718, 7.77, 123.4, 54321.0}) {
    for (const double sign : {-1, 1}) {
      CHECK(decode_score(encode_score(sign * value)) == Approx(sign * value).epsilon(1.0 / 1024));
    }
  }
  CHECK(decode_score(encode_score(0)) == 0);
  CHECK(decode_score(encode_score(1e-30)) == 0);
  for (const double huge : {1e30, std::numeric_limits<double>::infinity(), std::nan("")}) {
    CHECK(encode_score(huge) == kScoreCodes - 1);
  }
  CHECK(encode_score(-1e30) == 1);
}

TEST_CASE("a histogram has the ranks and the mean of a sorted list after any changes") {
  ScoreHistogram histogram;
  CHECK(histogram.quantile(0.5) == 0);
  CHECK(histogram.mean() == 0);
  std::vector<uint16_t> list;
  const RandomKey key{5, RandomPurpose::test};
  for (uint64_t i = 0; i < 600; ++i) {
    const auto words = key.words(i);
    if (words[0] % 3 == 0 && !list.empty()) {
      const size_t place = words[1] % list.size();
      histogram.remove(list[place]);
      list.erase(list.begin() + static_cast<std::ptrdiff_t>(place));
    } else {  // few different values, including the extremes
      const auto code = static_cast<uint16_t>(std::min<uint32_t>(1 + words[1] % 9 * 8000, kScoreCodes - 1));
      histogram.add(code);
      list.push_back(code);
    }
    if (i % 50 != 49) continue;
    std::vector<uint16_t> sorted = list;
    std::sort(sorted.begin(), sorted.end());
    REQUIRE(histogram.total() == static_cast<int64_t>(sorted.size()));
    double sum = 0;
    for (size_t r = 0; r < sorted.size(); ++r) {
      REQUIRE(histogram.at_rank(static_cast<int64_t>(r)) == sorted[r]);
      const auto [first, last] = std::equal_range(sorted.begin(), sorted.end(), sorted[r]);
      REQUIRE(histogram.below(sorted[r]) == first - sorted.begin());
      REQUIRE(histogram.count(sorted[r]) == last - first);
      sum += decode_score(sorted[r]);
    }
    CHECK(histogram.mean() == Approx(sum / static_cast<double>(sorted.size())).epsilon(1e-6));
    CHECK(histogram.quantile(1) == decode_score(sorted.back()));
    std::vector<uint16_t> with_gaps = list;
    with_gaps.push_back(kNoScore);
    const ScoreHistogram whole(with_gaps);
    CHECK(whole.total() == histogram.total());
    CHECK(whole.mean() == histogram.mean());
    for (const uint16_t code : sorted) REQUIRE(whole.below(code) == histogram.below(code));
  }
}

TEST_CASE("running quantiles are those of the window's values") {
  RunningQuantiles quantiles(100);
  CHECK(quantiles.standardise(3) == 0);
  std::vector<double> all;
  const RandomKey key{6, RandomPurpose::test};
  for (uint64_t i = 0; i < 1000; ++i) {
    all.push_back(key.normal(i) * 2 + 5);
    quantiles.add(all.back());
    std::vector<double> window(all.end() - static_cast<std::ptrdiff_t>(std::min<size_t>(all.size(), 100)), all.end());
    CHECK(quantiles.values() == window);
    std::sort(window.begin(), window.end());
    CHECK(quantiles.quantile(0) == window.front());
    CHECK(quantiles.quantile(1) == window.back());
    CHECK(quantiles.quantile(0.5) == Approx((window[(window.size() - 1) / 2] + window[window.size() / 2]) / 2));
  }
  CHECK(quantiles.standardise(5) == Approx(0).margin(0.4));
  CHECK(quantiles.standardise(7) - quantiles.standardise(5) == Approx(1).epsilon(0.3));
  CHECK(quantiles.standardise(1e9) == RunningQuantiles::kMost);

  RunningQuantiles copy(100);
  copy.restore(quantiles.values());
  for (int i = 0; i < 150; ++i) {
    quantiles.add(i % 7);
    copy.add(i % 7);
    CHECK(copy.quantile(0.3) == quantiles.quantile(0.3));
  }
}

}  // namespace moe
