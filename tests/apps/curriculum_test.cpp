// Curricula through the programs: several ranks, interrupted runs, stores that move between runs, reports.
#include <fmt/core.h>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "core/base/json_text.h"
#include "tests/apps/programs.h"
#include "tests/support/catch.h"

using namespace moe;
namespace fs = std::filesystem;

static const Arguments kBuckets = {
    "curriculum.sampler={kind: buckets, pacing: {kind: linear, start: 0.3}, revisit: 0.2}",
    "curriculum.signals={loss: 1, gradient: 0.5, router_entropy: 0.2}"};

static std::string store_of(const std::string& folder, const std::string& run = "run") {
  return read_file(fmt::format("{}/{}/checkpoints/step_00000030/difficulty.bin", folder, run));
}

static std::vector<Json> curriculum_records(const std::string& folder) {
  std::vector<Json> records;
  std::ifstream file(folder + "/run/metrics.jsonl");
  for (std::string line; std::getline(file, line);) {
    const auto json = parse_json(line);
    if (json["type"] == "train") records.push_back(json.value("curriculum", Json()));
  }
  return records;
}

TEST_CASE("a resumed run with a curriculum equals an uninterrupted one", "[slow]") {
  // The length may change between a run and its continuation; schedules that depend on it would change with it.
  TemporaryFolder whole, parts;
  const Arguments fixed = {
      "curriculum.sampler={kind: buckets, mix: {easy: 1, medium: 1, hard: 1}, pacing: {kind: auto, "
      "start: 0.3, over: 25, horizon: 3}, revisit: 0.2}"};
  REQUIRE(run_child(tiny_train(whole.path(), fixed)).code == 0);
  REQUIRE(run_child(tiny_train(parts.path(), fixed + Arguments{"train.steps=15"})).code == 0);
  const Finished resumed = run_child(tiny_train(parts.path(), fixed));
  INFO(resumed.err);
  REQUIRE(resumed.code == 0);
  CHECK(resumed.err.find("Resuming") != std::string::npos);
  CHECK(store_of(whole.path()) == store_of(parts.path()));
  CHECK(curriculum_records(whole.path()) == curriculum_records(parts.path()));
}

TEST_CASE("ranks draw the same samples", "[slow]") {
  TemporaryFolder one, two, four;
  REQUIRE(run_child(tiny_train(one.path(), kBuckets)).code == 0);
  for (const auto& [ranks, folder] : {std::pair{2, &two}, std::pair{4, &four}}) {
    const Finished result = run_child(mpirun(ranks) + tiny_train(folder->path(), kBuckets));
    INFO(result.err);
    REQUIRE(result.code == 0);
    const auto expected = curriculum_records(one.path()), found = curriculum_records(folder->path());
    REQUIRE(found.size() == 30);
    for (size_t i = 0; i < found.size(); ++i) {
      CHECK(found[i]["drawn"] == expected[i]["drawn"]);
      CHECK(found[i]["seen"] == expected[i]["seen"]);
      CHECK(found[i]["weighted_loss"].get<double>() ==
            Approx(expected[i]["weighted_loss"].get<double>()).epsilon(1e-3));
    }
  }
}

TEST_CASE("a curriculum that only measures does not change the training", "[slow]") {
  TemporaryFolder plain, measured;
  REQUIRE(run_child(tiny_train(plain.path())).code == 0);
  REQUIRE(run_child(tiny_train(measured.path(), {"curriculum.signals={loss: 1, entropy: 1, gradient: 1}"})).code == 0);
  CHECK_FALSE(fs::exists(plain.path() + "/run/checkpoints/step_00000030/difficulty.bin"));
  for (const Json& record : curriculum_records(plain.path())) CHECK(record.is_null());
  for (const Json& record : curriculum_records(measured.path())) CHECK(record["difficulty"].size() == 3);
  const std::string model = "/run/checkpoints/step_00000030/model.safetensors";
  CHECK(read_file(plain.path() + model) == read_file(measured.path() + model));
}

TEST_CASE("a store moves to another run; stores that do not fit are refused with the right exit code", "[slow]") {
  TemporaryFolder folder;
  REQUIRE(run_child(tiny_train(folder.path(), {"curriculum.signals={loss: 1}", "name=first"})).code == 0);
  const std::string from = "curriculum.from=" + folder.path() + "/first";
  const auto train = [&](const std::string& name, const Arguments& more) {
    return run_child(tiny_train(folder.path(), Arguments{"name=" + name} + more));
  };
  CHECK(train("buckets", {"curriculum.sampler=buckets", from}).code == 0);
  CHECK(train("order", {"curriculum.sampler=order", from}).code == 0);
  CHECK(train("none", {from}).code == 2);  // it keeps no store
  CHECK(train("order2", {"curriculum.sampler=order"}).code == 2);
  const Finished other = train("other", {"curriculum.sampler=buckets", from, "data.synthetic.seed=5"});
  CHECK(other.code == 4);
  CHECK(other.err.find("from_other_data") != std::string::npos);
  CHECK(
      train("other2", {"curriculum.sampler=buckets", from, "data.synthetic.seed=5", "curriculum.from_other_data=true"})
          .code == 0);
  CHECK(train("shorter", {"curriculum.sampler=buckets", from, "data.sequence=8"}).code == 4);
  CHECK(train("absent", {"curriculum.sampler=buckets", "curriculum.from=" + folder.path() + "/nowhere"}).code == 4);
  REQUIRE(train("plain", {}).code == 0);
  const Finished plain =
      train("from_plain", {"curriculum.sampler=buckets", "curriculum.from=" + folder.path() + "/plain"});
  CHECK(plain.code == 4);
  CHECK(plain.err.find("contains no difficulties") != std::string::npos);

  // A damaged store: the one of another run, and the one in the run's own checkpoint.
  const std::string store = folder.path() + "/buckets/checkpoints/step_00000030/difficulty.bin";
  std::string bytes = read_file(store);
  bytes[bytes.size() - 20] = static_cast<char>(bytes[bytes.size() - 20] ^ 1);
  std::ofstream(store, std::ios::binary) << bytes;
  const Finished damaged =
      train("damaged", {"curriculum.sampler=buckets", "curriculum.from=" + folder.path() + "/buckets"});
  CHECK(damaged.code == 4);
  CHECK(damaged.err.find("checksum") != std::string::npos);
  CHECK(train("buckets", {"curriculum.sampler=buckets", from, "train.steps=40"}).code == 4);
  std::ofstream(store, std::ios::binary) << bytes.substr(0, 500);
  CHECK(train("buckets", {"curriculum.sampler=buckets", from, "train.steps=40"}).code == 4);
}

TEST_CASE("moe-inspect reports on a curriculum", "[slow]") {
  TemporaryFolder folder;
  REQUIRE(run_child(tiny_train(folder.path(), kBuckets)).code == 0);
  const Finished text =
      run_child(program("moe-inspect") + Arguments{"curriculum", folder.path() + "/run", "--samples", "3"});
  INFO(text.out << text.err);
  REQUIRE(text.code == 0);
  for (const char* part : {"sampler buckets", "open ", "wanted", "easiest", "hardest", "explore", "gradient"}) {
    CHECK(text.out.find(part) != std::string::npos);
  }
  const Finished json =
      run_child(program("moe-inspect") + Arguments{"curriculum", folder.path() + "/run", "--samples", "3", "--json"});
  REQUIRE(json.code == 0);
  const auto parsed = parse_json(json.out);
  CHECK(parsed["easiest"].size() == 3);
  CHECK(parsed["hardest"][0]["score"].get<double>() > parsed["easiest"][0]["score"].get<double>());
  CHECK(parsed["hardest"][0]["description"].get<std::string>().size() > 4);
  const Finished report = run_child(program("moe-inspect") + Arguments{folder.path() + "/run"});
  REQUIRE(report.code == 0);
  const std::string html = read_file(folder.path() + "/run/report.html");
  for (const char* part : {"Curriculum", "Open part", "Drawn as easy", "Difficulty: loss", "The hardest samples"}) {
    CHECK(html.find(part) != std::string::npos);
  }
  TemporaryFolder plain;
  REQUIRE(run_child(tiny_train(plain.path())).code == 0);
  CHECK(run_child(program("moe-inspect") + Arguments{"curriculum", plain.path() + "/run"}).code == 4);
}

TEST_CASE("moe-inspect gradients measures the variance of batches' gradients", "[slow]") {
  // Nothing is learned, so the norms that training logs for later updates are those measured from a checkpoint on; and
  // a batch of 8 is two batches of 4.
  const auto frozen = [](int batch, const Arguments& more = {}) {
    return Arguments{"train.learning_rate={kind: constant, value: 1e-30}",
                     "model.dropout=0",
                     "moe.balance=[]",
                     fmt::format("train.batch={}", batch),
                     "train.clip_norm=0",
                     "checkpoint.keep_last=10"} +
           more;
  };
  TemporaryFolder small, large, weighted;
  REQUIRE(run_child(tiny_train(small.path(), frozen(4))).code == 0);
  REQUIRE(run_child(tiny_train(large.path(), frozen(8))).code == 0);
  const auto norms = [](const TemporaryFolder& folder) {
    std::vector<double> result;
    std::ifstream file(folder.path() + "/run/metrics.jsonl");
    for (std::string line; std::getline(file, line);) {
      const auto json = parse_json(line);
      if (json["type"] == "train") result.push_back(json.at("norm"));
    }
    return result;
  };
  const auto measure = [](int ranks, const TemporaryFolder& folder, const char* batches) {
    const Finished result =
        run_child((ranks > 1 ? mpirun(ranks) : Arguments{}) + program("moe-inspect") +
                  Arguments{"gradients", folder.path() + "/run", "--checkpoint", "10", "--batches", batches, "--json"});
    INFO(result.err);
    REQUIRE(result.code == 0);
    return parse_json(result.out).at("samplers");
  };
  const auto of_four = norms(small), of_eight = norms(large);
  const auto two = measure(1, small, "2");
  REQUIRE(two.size() == 1);
  CHECK(two[0]["sampler"] == "uniform");
  CHECK(two[0]["cosine"].get<double>() == Approx(1));
  const double mean_square = (of_four[10] * of_four[10] + of_four[11] * of_four[11]) / 2;
  CHECK(two[0]["mean_square"].get<double>() == Approx(mean_square).epsilon(1e-4));
  CHECK(two[0]["variance"].get<double>() == Approx(2 * (mean_square - of_eight[5] * of_eight[5])).epsilon(1e-3));
  const auto shared = measure(2, small, "2");
  for (const char* key : {"loss", "mean_square", "variance"}) {
    CHECK(shared[0][key].get<double>() == Approx(two[0][key].get<double>()).epsilon(1e-4));
  }

  REQUIRE(run_child(tiny_train(weighted.path(), frozen(4, kBuckets))).code == 0);
  const auto both = measure(1, weighted, "6");
  REQUIRE(both.size() == 2);
  CHECK(both[0]["sampler"] == "buckets");
  CHECK(both[0]["variance"] != both[1]["variance"]);
  CHECK((both[0]["cosine"].get<double>() < 1 && both[0]["cosine"].get<double>() > 0));
  // Uniform samples are not consecutive, so a model with a context memory treats them like one without.
  TemporaryFolder reading;
  REQUIRE(
      run_child(tiny_train(reading.path(), frozen(4, {"model.attention.memory=16", "curriculum.sampler=contiguous"})))
          .code == 0);
  const auto streams = measure(1, reading, "4");
  REQUIRE(streams.size() == 2);
  CHECK(streams[0]["sampler"] == "contiguous");
  CHECK(streams[1]["mean_square"].get<double>() == Approx(measure(1, small, "4")[0]["mean_square"].get<double>()));
  const Finished text = run_child(program("moe-inspect") + Arguments{"gradients", weighted.path() + "/run"});
  CHECK(text.code == 0);
  CHECK(text.out.find("buckets") != std::string::npos);
  CHECK(run_child(program("moe-inspect") + Arguments{"gradients", small.path() + "/run", "--batches", "1"}).code == 2);
  CHECK(run_child(program("moe-inspect") + Arguments{"gradients", small.path()}).code == 4);
}

TEST_CASE("a dry run counts the store and refuses options that training would refuse", "[slow]") {
  TemporaryFolder folder;
  const Finished fine = run_child(tiny_train(folder.path(), kBuckets) + Arguments{"--dry-run"});
  REQUIRE(fine.code == 0);
  CHECK(fine.out.find("difficulties") != std::string::npos);
  CHECK(run_child(tiny_train(folder.path(), {"curriculum.sampler={kind: buckets, easy_below: 0.9}"}) +
                  Arguments{"--dry-run"})
            .code == 2);
}

TEST_CASE("the curriculum benchmark measures every case", "[slow]") {
  const Finished result =
      run_child(program("moe-bench") + Arguments{"curriculum", "--samples", "20000", "--steps", "20"});
  INFO(result.err);
  REQUIRE(result.code == 0);
  std::istringstream lines(result.out);
  int count = 0;
  for (std::string line; std::getline(lines, line); ++count) {
    const auto json = parse_json(line);
    CHECK(json["us_draw"].get<double>() > 0);
    if (json.contains("bytes")) CHECK(json["bytes"].get<double>() > 8 * 20000);
  }
  CHECK(count == 7);
}
