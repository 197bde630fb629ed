#include "core/plan/link_fit.h"

#include <cmath>

#include "tests/support/catch.h"

using namespace moe;

TEST_CASE("latency and rate of a link are found from exact times") {
  std::vector<MessageTime> times;
  for (double bytes = 1024; bytes < 1e8; bytes *= 4) times.push_back({bytes, 2e-5 + bytes / 1e9});
  CHECK(fit_all_sizes(times).latency == Approx(2e-5));
  CHECK(fit_all_sizes(times).rate == Approx(1e9));
  CHECK(fit_ends(times).latency == Approx(2e-5 + 1024 / 1e9));
  CHECK(fit_ends(times).rate == Approx(1e9));
}

TEST_CASE("times without a slope still give a latency and a rate that a plan can use") {
  const std::vector<std::vector<MessageTime>> noisy = {{{1024, 3e-5}, {4096, 2e-5}, {16384, 1e-5}},
                                                       {{1024, 3e-5}, {4096, 9e-5}, {16384, 3e-5}},
                                                       {{1024, 1e-5}, {4096, 1e-5}},
                                                       {{1024, 1e-5}}};
  for (const std::vector<MessageTime>& times : noisy) {
    for (const LinkFit& fit : {fit_all_sizes(times), fit_ends(times)}) {
      CHECK(fit.latency >= 0);
      CHECK(std::isfinite(fit.latency));
      CHECK(fit.rate > 0);
      CHECK(std::isfinite(fit.rate));
    }
  }
  CHECK(fit_ends(noisy[0]).rate == Approx(16384 / 1e-5));
  CHECK(fit_ends(noisy[0]).latency == 1e-5);
}
