// scripts/tune, started as a user starts it.
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "core/base/json_text.h"
#include "tests/apps/study_place.h"
#include "tests/support/catch.h"

using namespace moe;
namespace fs = std::filesystem;

static Finished tune(const StudyPlace& place, const Arguments& options) {
  return run_child(Arguments{MOE_SCRIPTS "/tune", "-q", "-o", place.runs(), "-s", "1 2", "-b", place / "base.yaml"} +
                       options + Arguments{place / "one.yaml", place / "other.yaml"},
                   with_programs());
}

static const Arguments kSizes{"--size", "b:model.d_model=32", "--size", "a:model.d_model=16",
                              "--size", "c:model.d_model=64"};

TEST_CASE("scripts/tune finds an optimum at two sizes, predicts a third and checks it") {
  const StudyPlace place;
  // With next to no learning rate nothing is learned, and with a large one the loss rises.
  const Arguments sweep = kSizes + Arguments{"--sweep", "train.learning_rate.from=1e-2|1e-6|3"};
  const Finished made = tune(place, sweep);
  INFO(made.err << made.out);
  REQUIRE(made.code == 0);
  const Json tuning = parse_json(read_file(place.run("tune.json")));
  REQUIRE(tuning["sweeps"].size() == 2);
  for (const Json& result : tuning["sweeps"]) {
    CHECK(result["key"] == "train.learning_rate.from");
    CHECK(result["sizes"][0]["name"] == "a");
    CHECK(result["sizes"][1]["width"] == 32);
    CHECK(result["sizes"][0]["best"] == 0.01);
    CHECK(result["sizes"][0]["edge"] == "none");
    CHECK(result["check"]["name"] == "c");
    CHECK(result["check"]["values"].size() == 3);
    CHECK(result["check"]["values"][0]["value"].get<double>() ==
          Approx(result["check"]["predicted"].get<double>() / 2).epsilon(0.01));
  }
  CHECK_THAT(made.out, Catch::Contains("one: train.learning_rate.from") && Catch::Contains("proportional to width^"));
  const std::string metrics = place.run("a/one,from=1e-2-seed1/metrics.jsonl");
  const auto trained = fs::last_write_time(metrics);
  const Finished again = tune(place, sweep);
  CHECK(again.out == made.out);
  CHECK(fs::last_write_time(metrics) == trained);

  // A comparison that is given this result notes what it says.
  const Finished compared = run_child(
      Arguments{MOE_SCRIPTS "/compare", "-q", "-o", place / "compared", "-s", "1 2", "-b", place / "base.yaml", "--set",
                "train.learning_rate.from=3", "--tuned", place.runs(), place / "one.yaml", place / "same.yaml"},
      with_programs());
  INFO(compared.err);
  CHECK(compared.code == 0);
  CHECK_THAT(compared.out, Catch::Contains("one: train.learning_rate.from is 3, at or beyond the edge of its sweep") &&
                               Catch::Contains("same: no sweep of tune.json is about it"));
}

TEST_CASE("an optimum at the edge of its sweep is named, and nothing is predicted from it") {
  const StudyPlace place;
  const Finished made = tune(place, kSizes + Arguments{"--sweep", "train.learning_rate.from=1e-8|1e-6|1e-2"});
  INFO(made.err << made.out);
  REQUIRE(made.code == 0);
  const Json tuning = parse_json(read_file(place.run("tune.json")));
  CHECK(tuning["sweeps"][0]["sizes"][0]["edge"] == "highest");
  CHECK_FALSE(tuning["sweeps"][0].contains("exponent"));
  CHECK_FALSE(fs::exists(place.run("c")));
  CHECK_THAT(made.out, Catch::Contains("the highest value is the best: try others beyond"));
}

TEST_CASE("scripts/tune refuses impossible sweeps before it trains") {
  const StudyPlace place;
  const Arguments two{"--size", "a:model.d_model=16", "--size", "b:model.d_model=32"};
  for (const auto& [options, words] : std::vector<std::pair<Arguments, std::string>>{
           {two + Arguments{"--sweep", "train.batch=1|2"}, "at least three values"},
           {two + Arguments{"--sweep", "train.batch=1|2|x"}, "x is not a positive number"},
           {two + Arguments{"--sweep", "train.batch=1|2|2"}, "given twice"},
           {{"--size", "a:model.d_model=16"}, "give two sizes"},
           {{"--size", "a:model.d_model=16", "--size", "b:model.layers=2"}, "the same model.d_model"}}) {
    const Finished refused = tune(place, options);
    INFO(refused.err);
    CHECK(refused.code == 2);
    CHECK_THAT(refused.err, Catch::Contains(words));
    CHECK_FALSE(fs::exists(place.run("a")));
  }
}
