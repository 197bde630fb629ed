#include <algorithm>

#include "core/moe/competition_steps.h"

#include "tests/support/catch.h"

namespace moe::test {

namespace {

constexpr RunLength kRun{5000, 100, 100};

std::vector<CompetitionSteps> all_layers(int layers, double probability, int64_t draw_every, int64_t max_layers,
                                         double first = 0) {
  std::vector<CompetitionSteps> result;
  for (int layer = 0; layer < layers; ++layer) {
    result.emplace_back(
        CompetitionSteps::Setup{ScheduleField(probability).make(kRun), draw_every, max_layers, first, layer, layers});
  }
  return result;
}

}  // namespace

TEST_CASE("competing updates have the configured probability, independently for each layer and seed") {
  auto layers = all_layers(2, 0.07, 1, 0);
  int first = 0, second = 0, both = 0, other_seed = 0;
  for (uint64_t u = 0; u < 5000; ++u) {
    const bool a = layers[0].competes(1, u), b = layers[1].competes(1, u);
    first += a, second += b, both += a && b;
  }
  for (uint64_t u = 0; u < 5000; ++u) other_seed += layers[0].competes(1, u) && layers[0].competes(2, u);
  for (const int count : {first, second}) {  // 350 expected, standard deviation 18
    CHECK(count > 270);
    CHECK(count < 430);
  }
  CHECK(both < 60);
  CHECK(other_seed < 60);
}

TEST_CASE("competing updates are a pure function of seed and update") {
  auto in_order = all_layers(3, 0.3, 1, 1), backwards = all_layers(3, 0.3, 1, 1);
  std::vector<bool> expected;
  for (uint64_t u = 0; u < 2500; ++u) expected.push_back(in_order[1].competes(7, u));
  for (uint64_t u = 2500; u-- > 0;) CHECK(backwards[1].competes(7, u) == expected[u]);
}

TEST_CASE("the cap moves competitions to other updates and loses none while there is room") {
  auto capped = all_layers(6, 0.2, 1, 3), free = all_layers(6, 0.2, 1, 0);
  std::vector<int> before(6), after(6);
  int most = 0, most_free = 0;
  for (uint64_t u = 0; u < 3000; ++u) {
    int now = 0, now_free = 0;
    for (size_t layer = 0; layer < 6; ++layer) {
      const bool c = capped[layer].competes(3, u), f = free[layer].competes(3, u);
      after[layer] += c, before[layer] += f, now += c, now_free += f;
    }
    most = std::max(most, now), most_free = std::max(most_free, now_free);
  }
  CHECK(most == 3);
  CHECK(most_free > 3);
  CHECK(after == before);
}

TEST_CASE("certain competition under a cap fills every update up to the cap") {
  auto layers = all_layers(4, 1, 1, 2);
  for (uint64_t u = 0; u < 1000; ++u) {
    int now = 0;
    for (auto& layer : layers) now += layer.competes(1, u);
    CHECK(now == 2);
  }
}

TEST_CASE("one draw holds for its interval, and there is no competition before the first") {
  auto layers = all_layers(1, 0.5, 50, 0, 120);
  int changes = 0;
  for (uint64_t u = 0; u < 2000; ++u) {
    if (u < 120) CHECK_FALSE(layers[0].competes(1, u));
    if (u > 120 && layers[0].competes(1, u) != layers[0].competes(1, u - 1)) {
      CHECK(u % 50 == 0);
      ++changes;
    }
  }
  CHECK(changes > 5);
}

}  // namespace moe::test
