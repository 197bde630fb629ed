#include "core/inspect/paired_difference.h"

#include <cmath>

#include "core/base/statistics.h"
#include "tests/support/catch.h"

using namespace moe;

TEST_CASE("Student's t against printed tables") {
  for (const auto& [degrees, t] : std::vector<std::pair<int64_t, double>>{{1, 12.7062},
                                                                          {2, 4.30265},
                                                                          {3, 3.18245},
                                                                          {4, 2.77645},
                                                                          {5, 2.57058},
                                                                          {9, 2.26216},
                                                                          {30, 2.04227},
                                                                          {99, 1.98422},
                                                                          {1000, 1.96234}}) {
    INFO(degrees << " degrees of freedom");
    CHECK(student_t(0.95, degrees) == Approx(t).epsilon(1e-5));
  }
  CHECK(student_t(0.99, 4) == Approx(4.60409).epsilon(1e-5));
  CHECK(student_t(0.5, 1) == Approx(1));
}

TEST_CASE("the paired interval of three seeds, by hand") {
  // mean -0.02, standard deviation 0.01, standard error 0.01 / sqrt 3, times 4.30265
  const PairedDifference d = paired_difference({-0.01, -0.02, -0.03});
  CHECK(d.mean == Approx(-0.02));
  CHECK(d.half_width == Approx(0.0248414).epsilon(1e-5));
  CHECK(d.low() == Approx(-0.0448414).epsilon(1e-5));
  CHECK(d.high() == Approx(0.0048414).epsilon(1e-5));
  CHECK_FALSE(d.excludes_zero());
  // 0.0012 / sqrt 3 * 4.30265 = 0.00298 is less than 0.02
  CHECK(paired_difference({-0.0188, -0.02, -0.0212}).excludes_zero());
  CHECK(paired_difference({0.0188, 0.02, 0.0212}).excludes_zero());
}

TEST_CASE("one pair has a difference and no interval, no pair has neither") {
  const PairedDifference one = paired_difference({0.5});
  CHECK(one.mean == 0.5);
  CHECK_FALSE(one.has_interval());
  CHECK_FALSE(one.excludes_zero());
  CHECK(std::isnan(one.half_width));
  CHECK(std::isnan(paired_difference({}).mean));
}

TEST_CASE("two equal runs do not differ") {
  const PairedDifference d = paired_difference({0, 0});
  CHECK(d.half_width == 0);
  CHECK_FALSE(d.excludes_zero());
}

TEST_CASE("mean, median and standard deviation skip absent values") {
  const double none = std::nan("");
  CHECK(mean(std::vector{1.0, none, 3.0}) == 2);
  CHECK(median(std::vector{5.0, 1.0, none, 2.0}) == 2);
  CHECK(median(std::vector{4.0, 1.0, 2.0, 10.0}) == 3);
  CHECK(standard_deviation(std::vector{1.0, none, 3.0}) == Approx(std::sqrt(2.0)));
  CHECK(std::isnan(standard_deviation(std::vector{1.0})));
  CHECK(std::isnan(mean({})));
  CHECK(std::isnan(median({})));
}
