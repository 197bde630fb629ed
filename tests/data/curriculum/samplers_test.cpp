#include <algorithm>
#include <array>
#include <cmath>
#include <fstream>
#include <map>
#include <numeric>
#include <set>

#include "core/base/integer.h"
#include "data/curriculum/mix.h"
#include "data/sampler.h"
#include "tests/data/curriculum/simulated_run.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"

namespace moe {
namespace {

SimulatedRun::Signals graded_of(int64_t samples) {
  return [samples](int64_t sample, int64_t step, SignalValues& values) {
    graded(sample, step, values, static_cast<double>(samples));
  };
}

std::string store_bytes(const Curriculum& curriculum) {
  std::string bytes;
  curriculum.write([&](const void* data, size_t size) { bytes.append(static_cast<const char*>(data), size); });
  return bytes;
}

struct Case {
  const char* name;
  const char* yaml;
};
const Case kCases[] = {
    {"uniform", "sampler: uniform"},
    {"uniform, observed", "{sampler: uniform, signals: {loss: 1}}"},
    {"buckets", "sampler: buckets"},
    {"all signals",
     "{sampler: buckets, signals: {loss: 1, confidence: 1, entropy: 0.5, expert_variance: 0.5, gradient: 1, "
     "router_entropy: -0.5, progress: 0.3}}"},
    {"linear pace", "sampler: {kind: buckets, pacing: linear}"},
    {"auto pace", "sampler: {kind: buckets, pacing: {kind: auto, horizon: 5}}"},
    {"target", "sampler: {kind: buckets, target: {difficulty: 0.6, width: 0.2}}"},
    {"anti", "sampler: anti"},
    {"importance", "sampler: importance"},
    {"importance, biased", "sampler: {kind: importance, unbiased: false}"},
};

}  // namespace

TEST_CASE("every sampler is tested here") {
  std::set<std::string> found{"order", "contiguous"};  // the first needs scores, the second draws nothing at random
  for (const Case& c : kCases) found.insert(curriculum_config(c.yaml).sampler.kind());
  for (const Member& member : family<CurriculumSampler>()) CHECK(found.count(member.name) == 1);
}

TEST_CASE("every sampler draws valid samples, the same for equal seeds and others for other seeds") {
  for (const Case& c : kCases) {
    for (const int64_t samples : {1, 3, 40, 500}) {
      INFO(c.name << ", " << samples << " samples");
      SimulatedRun one(c.yaml, samples, 8), same(c.yaml, samples, 8), other(c.yaml, samples, 8, 1000, "", "these", 8);
      bool differs = false;
      for (int step = 0; step < 150; ++step) {
        const auto drawn = one.step(graded_of(samples)), again = same.step(graded_of(samples)),
                   others = other.step(graded_of(samples));
        for (size_t i = 0; i < drawn.size(); ++i) {
          REQUIRE(drawn[i].sample >= 0);
          REQUIRE(drawn[i].sample < samples);
          REQUIRE(drawn[i].weight > 0);
          REQUIRE(drawn[i].sample == again[i].sample);
          REQUIRE(drawn[i].weight == again[i].weight);
          differs |= drawn[i].sample != others[i].sample;
        }
      }
      CHECK(differs == (samples > 1));
      if (one.curriculum.has_store()) CHECK(store_bytes(one.curriculum) == store_bytes(same.curriculum));
    }
  }
}

TEST_CASE("uniform sampling draws the same as the plain sampler") {
  const Sampler plain({1001, 10, 6, 7});
  SimulatedRun run("sampler: uniform", plain.num_windows(), 6);
  std::vector<int64_t> starts(6);
  for (int64_t step = 0; step < 60; ++step) {
    plain.sample(step, starts);
    const auto drawn = run.step(graded_of(100));
    for (int64_t i = 0; i < 6; ++i) {
      const Drawn& d = drawn[as_index(i)];
      CHECK(plain.window_start(plain.epoch_of(step * 6 + i), d.sample) == starts[as_index(i)]);
      CHECK(d.weight == 1);
    }
  }
  CHECK_FALSE(run.curriculum.has_store());
  CHECK(run.curriculum.record().empty());
}

TEST_CASE("the store ranks samples by their difficulty, independently of when they were seen") {
  constexpr int64_t kSamples = 1000;
  for (const Case& c : kCases) {
    if (std::string(c.name) == "uniform" || std::string(c.name) == "all signals") continue;
    INFO(c.name);
    SimulatedRun run(c.yaml, kSamples, 16, 400);
    for (int step = 0; step < 400; ++step) run.step(graded_of(kSamples));
    const DifficultyStore& store = run.curriculum.store();
    // Spearman's rank correlation with the true difficulty, over the seen samples: sample number = difficulty.
    std::vector<std::pair<int64_t, double>> seen;
    for (int64_t s = 0; s < kSamples; ++s) {
      if (store.is_seen(s)) seen.emplace_back(s, store.rank(s));
    }
    REQUIRE(seen.size() > 300);
    const auto n = static_cast<double>(seen.size());
    double squares = 0;
    for (size_t i = 0; i < seen.size(); ++i) {
      const double d = (static_cast<double>(i) + 0.5) / n - seen[i].second;
      squares += d * d;
    }
    CHECK(1 - 6 * squares / n > 0.9);  // the loss of all samples fell by 3, and the difficulties of the samples range
                                       // over 1
  }
}

TEST_CASE("a batch has the requested mix, of the stated samples, each once") {
  constexpr int64_t kSamples = 2000, kBatch = 10;
  SimulatedRun run("sampler: {kind: buckets, mix: {easy: 30, medium: 45, hard: 25}, revisit: 0.1}", kSamples, kBatch);
  std::map<DrawnAs, double> counts;
  for (int step = 0; step < 1000; ++step) {
    // The buckets are those before the step.
    const auto drawn = run.curriculum.draw(run.now);
    const DifficultyStore& store = run.curriculum.store();
    std::set<int64_t> distinct;
    for (const Drawn& d : drawn) {
      distinct.insert(d.sample);
      CHECK(store.is_seen(d.sample) == (d.as != DrawnAs::explore));
      if (d.as == DrawnAs::easy) CHECK(store.rank(d.sample) < 1.0 / 3);
      if (d.as == DrawnAs::medium) CHECK(std::abs(store.rank(d.sample) - 0.5) <= 1.0 / 6);
      if (d.as == DrawnAs::hard) CHECK(store.rank(d.sample) >= 2.0 / 3);
    }
    CHECK(distinct.size() == kBatch);
    for (const Drawn& d : run.step(graded_of(kSamples))) {
      if (step >= 8) counts[d.as] += 1;  // the first steps are the warm-up
    }
  }
  const double mixed = 992 * kBatch * 0.9;
  CHECK(counts[DrawnAs::revisit] == Approx(992 * kBatch * 0.1).epsilon(0.01));
  CHECK(counts[DrawnAs::easy] == Approx(0.30 * mixed).epsilon(0.02));
  CHECK(counts[DrawnAs::hard] == Approx(0.25 * mixed).epsilon(0.02));
  CHECK(counts[DrawnAs::explore] + counts[DrawnAs::medium] == Approx(0.45 * mixed).epsilon(0.02));
  CHECK(counts[DrawnAs::explore] == kSamples - 80);  // all of them, once
  const auto record = run.curriculum.record();
  for (const char* kind : {"easy", "hard", "revisit"}) {
    CHECK(record["drawn"][kind].get<double>() == Approx(record["wanted"][kind].get<double>()).epsilon(0.03));
  }
}

TEST_CASE("the mix follows its schedules; the default stays in the usual ranges") {
  const RunLength run{1000, 1, 1};
  const Mix standard(MixConfig{}, run);
  for (int64_t update = 0; update < 1000; ++update) {
    const auto [easy, medium, hard] = standard.at(update);
    REQUIRE((easy >= 0.25 && easy <= 0.40));
    REQUIRE((medium >= 0.40 && medium <= 0.60));
    REQUIRE((hard >= 0.15 && hard <= 0.25));
    REQUIRE(easy + medium + hard == Approx(1));
  }
  MixConfig moving;
  read_config(parse_config("{easy: {kind: linear, from: 3, to: 0}, medium: 0, hard: 1}", "test"), moving);
  const Mix mix(moving, run);
  CHECK(mix.at(0)[0] == Approx(0.75));
  CHECK(mix.at(999)[2] == Approx(1).epsilon(0.01));
  read_config(parse_config("{easy: {kind: linear, from: 3, to: 0, over: 50%}, medium: 0, hard: 0}", "test"), moving);
  CHECK_THROWS_AS(Mix(moving, run), UsageError);
}

TEST_CASE("places are divided exactly, and their means are the shares") {
  const std::array<double, 3> shares{0.2, 0.5, 0.3};
  std::array<double, 3> sums{};
  for (int i = 0; i < 1000; ++i) {
    const auto places = divide_places(7, shares, (i + 0.5) / 1000);
    CHECK(places[0] + places[1] + places[2] == 7);
    for (size_t j = 0; j < 3; ++j) sums[j] += static_cast<double>(places[j]) / 1000;
  }
  for (size_t j = 0; j < 3; ++j) CHECK(sums[j] == Approx(7 * shares[j]).epsilon(1e-3));
  int64_t sum = 0;
  for (int64_t step = 0; step < 997; ++step) {
    sum += places_of_step(step, 16, 0.05);
    CHECK(std::abs(static_cast<double>(sum) - static_cast<double>(step + 1) * 16 * 0.05) <= 1);
  }
}

TEST_CASE("only open samples are drawn: the easiest first, or the hardest") {
  constexpr int64_t kSamples = 400;
  for (const bool hardest : {false, true}) {
    INFO((hardest ? "anti" : "buckets"));
    const std::string kind = hardest ? "anti" : "buckets";
    SimulatedRun run(
        "sampler: {kind: " + kind + ", pacing: {kind: linear, start: 0.1, over: 100%}, revisit: 0, warmup: 400}",
        kSamples, 8, 600);
    for (int step = 0; step < 550; ++step) {
      const double open = 0.1 + 0.9 * step / 600.0;
      for (const Drawn& d : run.curriculum.draw(run.now)) {
        if (d.as == DrawnAs::explore) continue;
        const double rank = run.curriculum.store().rank(d.sample);
        CHECK((hardest ? 1 - rank : rank) <= open + 1e-9);
      }
      run.step(graded_of(kSamples));
      CHECK(run.curriculum.record()["open"].get<double>() == Approx(open));
    }
  }
}

TEST_CASE("samples near the target difficulty are drawn more often") {
  constexpr int64_t kSamples = 500;
  SimulatedRun run(
      "sampler: {kind: buckets, mix: {easy: 1, medium: 1, hard: 1}, revisit: 0, target: {difficulty: 0.8, width: 0.1}}",
      kSamples, 10, 4000);
  std::vector<double> counts(15);
  for (int step = 0; step < 3000; ++step) {
    for (const Drawn& d : run.step(graded_of(kSamples))) {
      if (step > 1000) counts[as_index(d.sample * 15 / kSamples)] += 1;
    }
  }
  // Within a bucket: of the medium fifteenths (5 to 9) the last is nearest to the target, of the hard ones (10 to 14)
  // the second or third.
  CHECK(counts[9] > 1.5 * counts[5]);
  CHECK(counts[11] + counts[12] > 3 * counts[14]);
}

TEST_CASE("each sample is seen again within (2 N + 1) / revisit + 2 batch draws") {
  for (const double revisit : {0.05, 0.2, 1.0}) {
    for (const char* pacing : {"none", "{kind: linear, start: 0.05, over: 100%}"}) {
      constexpr int64_t kSamples = 300, kBatch = 8;
      SimulatedRun run(fmt::format("sampler: {{kind: buckets, revisit: {}, pacing: {}}}", revisit, pacing), kSamples,
                       kBatch, 20000);
      const double bound = (2 * kSamples + 1) / revisit + 2 * kBatch;
      INFO(revisit << ", " << pacing << ": " << bound);
      std::vector<double> last(kSamples, -1);
      double worst = 0;
      for (int64_t step = 0; step < 6000; ++step) {
        for (const Drawn& d : run.step(graded_of(kSamples))) {
          const auto now = static_cast<double>(step * kBatch);
          double& before = last[as_index(d.sample)];
          if (before >= 0) worst = std::max(worst, now - before);
          before = now;
        }
      }
      for (const double before : last) {
        if (before >= 0) worst = std::max(worst, 6000 * kBatch - before);
        if (revisit < 1) CHECK(before >= 0);  // if all places are revisits, nothing is explored after the warm-up
      }
      CHECK(worst <= bound);
      if (revisit < 1) CHECK(worst > kSamples);  // the bound is not trivial, because revisits are a small share
    }
  }
}

TEST_CASE("importance sampling draws in proportion to the loss, with weights that correct for it") {
  constexpr int64_t kSamples = 50;
  SimulatedRun run("{decay: 0, sampler: {kind: importance, uniform: 0.2}}", kSamples, 16);
  const auto signals = [](int64_t sample, int64_t, SignalValues& values) {
    values.fill(sample < 25 ? 1 : 3);
    values[1] = static_cast<double>(sample);
  };
  double easy = 0, hard = 0, weights = 0, mean = 0, draws = 0;
  for (int step = 0; step < 4000; ++step) {
    for (const Drawn& d : run.step(signals)) {
      if (step < 100) continue;
      (d.sample < 25 ? easy : hard) += 1;
      weights += d.weight;
      mean += d.weight * static_cast<double>(d.sample);
      draws += 1;
      const double relative = d.sample < 25 ? 0.5 : 1.5;
      CHECK(d.weight == Approx(1 / (0.8 * relative + 0.2)).epsilon(2e-3));
    }
  }
  CHECK(easy / draws == Approx(0.5 * (0.8 * 0.5 + 0.2)).epsilon(0.02));
  CHECK(weights / draws == Approx(1).epsilon(0.01));
  CHECK(mean / draws == Approx(24.5).epsilon(0.01));  // the plain mean over all samples: unbiased
}

TEST_CASE("the order of a given score is kept in every epoch") {
  TemporaryFolder folder;
  const std::string path = folder.path() + "/scores.txt";
  std::ofstream(path) << "5 1\n3\n1 9";
  SimulatedRun up("sampler: {kind: order, scores: " + path + "}", 5, 3),
      down("sampler: {kind: order, descending: true, scores: " + path + "}", 5, 3);
  std::vector<int64_t> rising, falling;
  for (int step = 0; step < 3; ++step) {
    for (const Drawn& d : up.step(graded_of(5))) rising.push_back(d.sample);
    for (const Drawn& d : down.step(graded_of(5))) falling.push_back(d.sample);
  }
  CHECK(rising == std::vector<int64_t>{1, 3, 2, 0, 4, 1, 3, 2, 0});
  CHECK(falling == std::vector<int64_t>{4, 0, 2, 1, 3, 4, 0, 2, 1});

  const std::string of_path = "sampler: {kind: order, scores: " + path + "}";
  CHECK_THROWS_WITH(SimulatedRun(of_path, 6, 2), Catch::Contains("5 scores") && Catch::Contains("expected 6"));
  std::ofstream(path) << "5 x";
  CHECK_THROWS_AS(SimulatedRun(of_path, 2, 2), DataError);
  CHECK_THROWS_AS(SimulatedRun("sampler: {kind: order, scores: /absent}", 2, 2), DataError);
  SimulatedRun none("sampler: order", 4, 2);
  CHECK_THROWS_AS(none.curriculum.draw(0), UsageError);
}

TEST_CASE("contiguous rows continue where they stopped, in every pass") {
  SimulatedRun run("sampler: contiguous", 23, 5);  // 4 steps per pass; 3 samples are left over
  for (int64_t step = 0; step < 12; ++step) {
    const auto place = run.curriculum.stream(step);
    REQUIRE(place.has_value());
    CHECK(place->pass == step / 4);
    CHECK(place->step == step % 4);
    const auto drawn = run.curriculum.draw(step);
    for (size_t row = 0; row < drawn.size(); ++row) {
      CHECK(drawn[row].sample == static_cast<int64_t>(row) * 4 + step % 4);
      CHECK(drawn[row].weight == 1);
    }
  }
  CHECK_FALSE(SimulatedRun("sampler: uniform", 23, 5).curriculum.stream(3).has_value());
  CHECK_THROWS_AS(SimulatedRun("sampler: contiguous", 4, 5), UsageError);
}

TEST_CASE("options that contradict each other are refused") {
  CHECK_THROWS_AS(SimulatedRun("sampler: {kind: buckets, easy_below: 0.8}", 10, 2), UsageError);
  CHECK_THROWS_AS(SimulatedRun("sampler: {kind: buckets, target: {difficulty: {kind: linear, from: 0, to: 2}}}", 10, 2),
                  UsageError);
  CHECK_THROWS_AS(SimulatedRun("sampler: {kind: buckets, mix: {easy: -1}}", 10, 2), UsageError);
  CHECK_THROWS_AS(curriculum_config("sampler: {kind: buckets, pacing: slow}"), UsageError);
  CHECK_THROWS_AS(curriculum_config("signals: {los: 1}"), UsageError);
}

}  // namespace moe
