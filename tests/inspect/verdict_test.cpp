#include "core/inspect/verdict.h"

#include <cmath>
#include <vector>

#include "tests/support/catch.h"

using namespace moe;
using Kind = Verdict::Kind;

static Verdict verdict_of(std::vector<double> differences, double margin = 0) {
  const PairedDifference d = paired_difference(std::move(differences));
  return judge_differences(std::vector{d}, margin).front();
}

TEST_CASE("the probability outside of Student's t") {
  CHECK(student_p(12.7062, 1) == Approx(0.05).epsilon(1e-4));
  CHECK(student_p(-4.30265, 2) == Approx(0.05).epsilon(1e-4));
  CHECK(student_p(1, 1) == Approx(0.5));
  CHECK(student_p(0, 7) == Approx(1));
  CHECK(student_p(INFINITY, 3) == 0);
}

TEST_CASE("Holm's correction of a printed example") {
  // Sorted 0.005, 0.01, 0.03, 0.04: times 4, 3, 2, 1, and never below the one before.
  const std::vector<double> p = holm({0.01, 0.04, 0.03, 0.005});
  CHECK(p[0] == Approx(0.03));
  CHECK(p[1] == Approx(0.06));
  CHECK(p[2] == Approx(0.06));
  CHECK(p[3] == Approx(0.02));
  // What has no p does not count.
  const std::vector<double> some = holm({NAN, 0.01, 0.9});
  CHECK(std::isnan(some[0]));
  CHECK(some[1] == Approx(0.02));
  CHECK(holm({0.7, 0.8})[0] == 1);
}

TEST_CASE("a difference that excludes 0 is better or worse, and otherwise not decided") {
  CHECK(verdict_of({-0.02, -0.021, -0.019}).kind == Kind::better);
  CHECK(verdict_of({0.02, 0.021, 0.019}).kind == Kind::worse);
  CHECK(verdict_of({-0.01, -0.02, -0.03}).kind == Kind::undecided);
  CHECK(verdict_of({-0.01, -0.02, -0.03}).p == Approx(0.0742).epsilon(1e-3));
  CHECK(verdict_of({0.5}).kind == Kind::none);
  CHECK(verdict_of({}).kind == Kind::none);
}

TEST_CASE("a difference that is surely within the margin is equivalent, even if it is surely not 0") {
  // mean 0.002, standard error 0.0005774, two degrees of freedom: t = 13.86 and 20.8 at a margin of 0.01.
  CHECK(verdict_of({0.001, 0.002, 0.003}, 0.01).kind == Kind::equivalent);
  CHECK(verdict_of({0.001, 0.002, 0.003}, 0.01).p_equivalent == Approx(0.002583).epsilon(1e-3));
  CHECK(verdict_of({0.0019, 0.002, 0.0021}, 0.01).kind == Kind::equivalent);
  CHECK(verdict_of({0.0019, 0.002, 0.0021}, 0).kind == Kind::worse);
  // One-sided: a mean far outside of the margin is no equivalence.
  CHECK(verdict_of({0.02, 0.021, 0.019}, 0.01).kind == Kind::worse);
  CHECK(verdict_of({0.02, 0.021, 0.019}, 0.01).p_equivalent > 0.9);
  CHECK(verdict_of({-0.02, 0.02, 0.01}, 0.01).kind == Kind::undecided);
  CHECK(verdict_of({0, 0, 0}, 0.01).kind == Kind::equivalent);
  CHECK(verdict_of({0, 0, 0}).kind == Kind::undecided);
}

TEST_CASE("the number of seeds that would decide") {
  // mean -0.02, deviation 0.01: t = 2 sqrt(n); 4 > 3.182 with three degrees of freedom, so four seeds.
  CHECK(verdict_of({-0.01, -0.02, -0.03}).seeds_to_decide == 4);
  CHECK_FALSE(verdict_of({-0.02, -0.021, -0.019}).seeds_to_decide);
  // Without a difference only a margin can be decided.
  CHECK_FALSE(verdict_of({-0.01, 0.01, 0}).seeds_to_decide);
  const Verdict within = verdict_of({-0.01, 0.01, 0}, 0.01);
  CHECK(within.kind == Kind::undecided);
  CHECK(within.seeds_to_decide == 5);  // t = 1 * sqrt(n): 2.236 > 2.132 with four degrees of freedom
}

TEST_CASE("several configurations are judged together") {
  const PairedDifference d = paired_difference({-0.01, -0.02, -0.03, -0.02});  // p 0.0163
  CHECK(judge_differences(std::vector{d}, 0)[0].kind == Kind::better);
  const std::vector<Verdict> four = judge_differences(std::vector{d, d, d, d}, 0);
  for (const Verdict& v : four) {
    CHECK(v.kind == Kind::undecided);
    CHECK(v.p == Approx(4 * judge_differences(std::vector{d}, 0)[0].p));
  }
}

TEST_CASE("the unpaired interval, and what pairing brings") {
  const UnpairedDifference u = unpaired_difference({1.99, 2.08, 2.02}, {2.00, 2.10, 2.05});
  CHECK(u.mean == Approx(-0.02));
  // Welch: variances 0.0021 and 0.0025, standard error 0.03916, 3.97 degrees of freedom, rounded down to 3.
  CHECK(u.half_width == Approx(3.18245 * 0.0391578).epsilon(1e-4));
  CHECK(u.correlation == Approx(0.98198).epsilon(1e-4));
  CHECK(std::isnan(unpaired_difference({1}, {2}).half_width));
  CHECK(std::isnan(unpaired_difference({1, 2}, {2, 3}).correlation));
  CHECK(unpaired_difference({1, 1}, {1, 1}).half_width == 0);
}
