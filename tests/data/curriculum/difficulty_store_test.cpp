#include <cmath>
#include <filesystem>
#include <fstream>

#include "tests/data/curriculum/simulated_run.h"
#include "tests/support/catch.h"
#include "tests/support/child_process.h"
#include "tests/support/temporary_folder.h"

namespace moe {
namespace {

void save(const Curriculum& curriculum, const std::string& path) {
  std::ofstream file(path, std::ios::binary);
  curriculum.write([&](const void* data, size_t bytes) {
    file.write(static_cast<const char*>(data), static_cast<std::streamsize>(bytes));
  });
}

void graded_signals(int64_t sample, int64_t step, SignalValues& values) {
  graded(sample, step, values);
}

Observation visit(int64_t sample, double loss, bool even = true) {
  Observation result{sample, {}, even};
  result.values[index_of(SampleSignal::loss)] = loss;
  return result;
}

const char* const kYamls[] = {
    "sampler: {kind: buckets, pacing: {kind: auto, horizon: 5}, revisit: 0.1}",
    "{sampler: anti, signals: {loss: 1, entropy: 0.5, progress: 0.2}}",
    "sampler: importance",
    "{sampler: uniform, signals: {gradient: 1}}",
};

}  // namespace

TEST_CASE("a store keeps moving averages, standardised by evenly drawn samples at the time of the visit") {
  DifficultyStore store({.samples = 10, .weights = {2}, .decay = 0.75, .window = 8, .seed = 3});
  CHECK(store.seen() == 0);
  std::vector<Observation> visits;
  for (int i = 0; i < 8; ++i) visits.push_back(visit(i, 1 + i));  // median 4.5, 16 % at 2.12 and 84 % at 6.88
  store.observe(0, visits);
  CHECK(store.seen() == 8);
  CHECK_FALSE(store.is_seen(8));
  CHECK(store.score(0) == Approx(2 * (1 - 4.5) / 2.38).epsilon(1e-3));
  CHECK(store.score(7) == Approx(2 * (8 - 4.5) / 2.38).epsilon(1e-3));
  CHECK(*store.average(SampleSignal::loss, 7) == Approx(8));
  CHECK_FALSE(store.average(SampleSignal::loss, 9).has_value());
  CHECK_FALSE(store.average(SampleSignal::entropy, 7).has_value());
  store.observe(4, std::vector{visit(7, 4.5, false)});  // not evenly drawn: it changes no quantile
  CHECK(*store.average(SampleSignal::loss, 7) == Approx(0.75 * 8 + 0.25 * 4.5).epsilon(1e-3));
  CHECK(store.score(7) == Approx(0.75 * 2 * (8 - 4.5) / 2.38).epsilon(2e-3));
  CHECK(store.last_seen(7) == 5);
  CHECK(store.last_seen(6) == 1);
  CHECK(store.last_seen(8) == 0);
  for (int64_t s = 0; s < 8; ++s) CHECK(store.rank(s) == Approx((static_cast<double>(s) + 0.5) / 8).margin(0.07));
}

TEST_CASE("progress is the decrease of the loss since the last visit") {
  DifficultyStore::Setup setup{.samples = 4, .decay = 0, .window = 8};
  setup.weights[index_of(SampleSignal::progress)] = 1;
  DifficultyStore store(setup);
  CHECK(store.signals()[index_of(SampleSignal::loss)]);
  store.observe(0, std::vector{visit(0, 5), visit(1, 5), visit(2, 5), visit(3, 5)});
  for (int64_t s = 0; s < 4; ++s) CHECK(store.score(s) == 0);  // a first visit has no progress
  store.observe(1, std::vector{visit(0, 5), visit(1, 4), visit(2, 3), visit(3, 2)});
  CHECK(*store.average(SampleSignal::progress, 0) == 0);
  CHECK(*store.average(SampleSignal::progress, 3) == 3);
  CHECK(store.score(0) < store.score(1));
  CHECK(store.score(2) < store.score(3));
}

TEST_CASE("a signal that is NaN counts as hard and does not affect other samples") {
  DifficultyStore store({.samples = 5, .weights = {1}});
  store.observe(0, std::vector{visit(0, 1), visit(1, 2), visit(2, std::nan("")), visit(3, 3)});
  CHECK(store.rank(2) > store.rank(3));
  CHECK(std::isfinite(store.recent(SampleSignal::loss).quantile(0.5)));
}

TEST_CASE("a run that is saved and read continues unchanged") {
  TemporaryFolder folder;
  for (const char* yaml : kYamls) {
    INFO(yaml);
    SimulatedRun whole(yaml, 300, 7), first(yaml, 300, 7), second(yaml, 300, 7);
    for (int step = 0; step < 77; ++step) {
      whole.step(graded_signals);
      first.step(graded_signals);
    }
    save(first.curriculum, folder / "difficulty.bin");
    second.curriculum.read(folder / "difficulty.bin");
    second.now = first.now;
    CHECK(second.curriculum.record() == whole.curriculum.record());
    for (int step = 77; step < 200; ++step) {
      const auto expected = whole.step(graded_signals), drawn = second.step(graded_signals);
      for (size_t i = 0; i < drawn.size(); ++i) {
        REQUIRE(drawn[i].sample == expected[i].sample);
        REQUIRE(drawn[i].weight == expected[i].weight);
        REQUIRE(drawn[i].as == expected[i].as);
      }
    }
    save(whole.curriculum, folder / "whole");
    save(second.curriculum, folder / "second");
    CHECK(read_file(folder / "whole") == read_file(folder / "second"));
    CHECK(second.curriculum.record() == whole.curriculum.record());
  }
}

TEST_CASE("damaged stores are checkpoint errors that name the file") {
  TemporaryFolder folder;
  const std::string path = folder / "difficulty.bin";
  SimulatedRun run(kYamls[1], 100, 7);
  for (int step = 0; step < 20; ++step) run.step(graded_signals);
  save(run.curriculum, path);
  const std::string good = read_file(path);
  const auto refuses = [&](const std::string& bytes, const std::string& why) {
    INFO(why);
    std::ofstream(path, std::ios::binary) << bytes;
    SimulatedRun other(kYamls[1], 100, 7);
    CHECK_THROWS_AS(other.curriculum.read(path), CheckpointError);
    CHECK_THROWS_WITH(other.curriculum.read(path), Catch::Contains(path) && Catch::Contains(why));
    CHECK_THROWS_AS(SimulatedRun(kYamls[1], 100, 7, 1000, path), CheckpointError);
  };
  refuses("", "damaged");
  refuses("something else entirely", "is not a difficulty store");
  refuses(good.substr(0, 12), "cut off");
  refuses(good.substr(0, 100), "cut off");
  refuses(good.substr(0, good.size() - 1), "length");
  refuses(good + "x", "length");
  for (const size_t place : {good.size() / 2, good.size() - 300, good.size() - 3}) {  // header, last visits, checksum
    std::string bytes = good;
    bytes[place] = static_cast<char>(bytes[place] ^ 4);
    refuses(bytes, place == good.size() / 2 ? "damaged" : "checksum");
  }
  std::string bytes = good;
  bytes[8 + 7] = '\x7f';  // a header longer than any file
  refuses(bytes, "damaged");
  CHECK_THROWS_AS(SimulatedRun(kYamls[1], 100, 7, 1000, folder / "absent"), CheckpointError);
  std::ofstream(path, std::ios::binary) << good;
  SimulatedRun fine(kYamls[1], 100, 7);
  CHECK_NOTHROW(fine.curriculum.read(path));
}

TEST_CASE("another run starts from a store; with other data only if configured") {
  TemporaryFolder folder;
  const std::string path = folder / "difficulty.bin";
  SimulatedRun run("{sampler: uniform, signals: {loss: 1}}", 1000, 20);
  for (int step = 0; step < 80; ++step) run.step(graded_signals);
  save(run.curriculum, path);
  const DifficultyStore& before = run.curriculum.store();

  SimulatedRun next("sampler: {kind: buckets, warmup: 1}", 1000, 20, 1000, path, "these", 99);
  const DifficultyStore& store = next.curriculum.store();
  CHECK(store.seen() == 1000);
  for (int64_t s = 0; s < 1000; ++s) {
    REQUIRE(store.score(s) == before.score(s));
    REQUIRE(store.rank(s) == before.rank(s));
    REQUIRE(store.last_seen(s) == 0);  // in this run
  }
  for (const Drawn& d : next.step(graded_signals)) CHECK(d.as != DrawnAs::explore);

  // With a store that has not seen all samples, exploration continues where it was.
  SimulatedRun half("{sampler: uniform, signals: {loss: 1}}", 1000, 20);
  for (int step = 0; step < 10; ++step) half.step(graded_signals);
  save(half.curriculum, folder / "half");
  SimulatedRun rest("sampler: {kind: buckets, warmup: 1}", 1000, 20, 1000, folder / "half", "these", 99);
  for (int step = 0; step < 20; ++step) {
    for (const Drawn& d : rest.step(graded_signals)) {
      if (d.as == DrawnAs::explore) CHECK_FALSE(half.curriculum.store().is_seen(d.sample));
    }
  }

  CHECK_THROWS_AS(SimulatedRun("sampler: buckets", 1000, 20, 1000, path, "those"), CheckpointError);
  CHECK_THROWS_WITH(SimulatedRun("sampler: buckets", 1000, 20, 1000, path, "those"),
                    Catch::Contains("from_other_data"));
  SimulatedRun other("{sampler: buckets, from_other_data: true}", 500, 20, 1000, path, "those");
  for (int64_t s = 0; s < 500; ++s) REQUIRE(other.curriculum.store().score(s) == before.score(2 * s));
  SimulatedRun larger("{sampler: buckets, from_other_data: true}", 2500, 20, 1000, folder / "half", "those");
  CHECK(larger.curriculum.store().seen() == 2500);
  CHECK_THROWS_AS(SimulatedRun("sampler: uniform", 1000, 20, 1000, path), UsageError);

  // The order given by a store does not change.
  SimulatedRun ordered("sampler: order", 1000, 20, 1000, path);
  double rank = -1;
  for (int step = 0; step < 50; ++step) {
    for (const Drawn& d : ordered.step(graded_signals)) {
      CHECK(before.rank(d.sample) > rank);
      rank = before.rank(d.sample);
    }
  }
  // Resuming gives the same.
  save(ordered.curriculum, folder / "ordered");
  SimulatedRun again("sampler: order", 1000, 20, 1000, path);
  again.curriculum.read(folder / "ordered");
  CHECK(again.curriculum.draw(50)[0].sample == ordered.curriculum.draw(50)[0].sample);
}

TEST_CASE("the measured signals follow from the sampler and the weights") {
  const auto names = [](const std::string& yaml) {
    const SampleSignalSet set = measured_signals(curriculum_config(yaml));
    std::string list;
    for (size_t i = 0; i < set.size(); ++i) list += set[i] ? std::string(kSampleSignals[i].name) + " " : "";
    return list;
  };
  CHECK(names("sampler: uniform") == "");
  CHECK(names("sampler: {kind: order, scores: file}") == "");
  CHECK(names("sampler: order") == "");
  CHECK(names("sampler: buckets") == "loss ");
  CHECK(names("sampler: importance") == "loss ");
  CHECK(names("{sampler: uniform, signals: {entropy: 1}}") == "loss entropy ");
  CHECK(names("{sampler: buckets, signals: {progress: 1}}") == "loss ");
  CHECK(names("{sampler: anti, signals: {router_entropy: -1}}") == "loss router_entropy ");
}

TEST_CASE("the store's memory is a few bytes per sample") {
  for (const char* yaml : kYamls) {
    const auto config = curriculum_config(yaml);
    const int64_t samples = 10'000'000;
    CHECK(store_bytes(config, samples) <= 12 * samples + (1 << 20));
    CHECK(store_bytes(config, samples) >= 8 * samples);
  }
  CHECK(store_bytes(curriculum_config("sampler: uniform"), 1000) == 0);
}

}  // namespace moe
