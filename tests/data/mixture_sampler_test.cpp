#include "data/mixture_sampler.h"

#include <cmath>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/base/integer.h"
#include "tests/support/catch.h"

namespace moe {
namespace {

MixtureSetup setup_of(std::vector<int64_t> samples, std::vector<double> weights, int64_t batch, uint64_t seed = 3) {
  return {.samples = std::move(samples), .batch = batch, .seed = seed, .weight = [weights](int64_t, int64_t corpus) {
            return weights[as_index(corpus)];
          }};
}

std::vector<std::pair<int64_t, int64_t>> drawn(MixtureSampler& sampler, int64_t step, int64_t batch) {
  std::vector<SampleVisit> visits(as_index(batch));
  sampler.draw(step, visits);
  std::vector<std::pair<int64_t, int64_t>> all;
  for (const SampleVisit& visit : visits) all.emplace_back(visit.sample, visit.epoch);
  return all;
}

}  // namespace

TEST_CASE("a mixture draws the corpora in their shares, in every step to within one sample") {
  const MixtureSampler sampler(setup_of({100, 1000, 50}, {2, 5, 3}, 7));
  std::vector<int64_t> counts, sums(3);
  for (int64_t step = 0; step < 4000; ++step) {
    sampler.counts(step, counts);
    int64_t all = 0;
    for (size_t k = 0; k < 3; ++k) {
      const double expected = 7 * std::vector<double>{0.2, 0.5, 0.3}[k];
      CHECK(std::abs(static_cast<double>(counts[k]) - expected) < 1);
      sums[k] += counts[k], all += counts[k];
    }
    REQUIRE(all == 7);
  }
  CHECK(static_cast<double>(sums[0]) == Approx(4000 * 1.4).epsilon(0.02));
  CHECK(static_cast<double>(sums[1]) == Approx(4000 * 3.5).epsilon(0.02));
  CHECK(static_cast<double>(sums[2]) == Approx(4000 * 2.1).epsilon(0.02));
}

TEST_CASE("each corpus of a mixture has epochs of its own, in which every sample is drawn once") {
  MixtureSampler sampler(setup_of({10, 33}, {1, 1}, 8));
  std::map<std::pair<int, int64_t>, std::multiset<int64_t>> seen;  // by corpus and epoch
  for (int64_t step = 0; step < 100; ++step) {
    for (const auto& [sample, epoch] : drawn(sampler, step, 8)) {
      REQUIRE((sample >= 0 && sample < 43));
      seen[{sample >= 10, epoch}].insert(sample);
    }
  }
  for (const auto& [key, samples] : seen) {
    const size_t size = key.first == 0 ? 10 : 33;
    CHECK(std::set<int64_t>(samples.begin(), samples.end()).size() == samples.size());
    if (seen.contains({key.first, key.second + 1})) CHECK(samples.size() == size);
  }
  CHECK(seen[{0, 0}] != seen[{0, 100}]);
}

TEST_CASE("a mixture's samples are a function of the seed and the step, whatever was drawn before") {
  MixtureSetup changing = setup_of({20, 30}, {1, 1}, 5);
  changing.weight = [](int64_t step, int64_t corpus) {
    const double moved = static_cast<double>(step) / 100;
    return corpus == 0 ? 1 - moved : moved;
  };
  MixtureSampler in_order(changing), other(changing);
  changing.seed = 4;
  MixtureSampler seeded(changing);
  std::vector<std::vector<std::pair<int64_t, int64_t>>> steps;
  int64_t of_second = 0;
  for (int64_t step = 0; step < 100; ++step) steps.push_back(drawn(in_order, step, 5));
  for (const int64_t step : {70, 3, 4, 99, 0}) CHECK(drawn(other, step, 5) == steps[as_index(step)]);
  CHECK(drawn(seeded, 3, 5) != steps[3]);
  for (const auto& [sample, epoch] : steps[0]) CHECK(sample < 20);
  for (const auto& [sample, epoch] : steps[99]) of_second += sample >= 20;
  CHECK(of_second >= 4);
}

TEST_CASE("a mixture without weights at some step is refused") {
  MixtureSampler sampler(setup_of({20, 30}, {0, 0}, 5));
  std::vector<SampleVisit> visits(5);
  CHECK_THROWS_AS(sampler.draw(0, visits), UsageError);
}

}  // namespace moe
