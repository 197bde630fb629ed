#include "core/base/json_text.h"
#include "tests/apps/programs.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"

using namespace moe;

static Json inspect(const Arguments& arguments) {
  const Finished result = run_child(program("moe-inspect") + arguments + Arguments{"--json", "--no-html"});
  INFO(result.err);
  REQUIRE(result.code == 0);
  return parse_json(result.out);
}

TEST_CASE("moe-inspect reports how many choices changed since another checkpoint") {
  const TemporaryFolder folder;
  const Finished trained = run_child(tiny_train(folder.path(), {"checkpoint.keep_last=10"}));
  INFO(trained.err);
  REQUIRE(trained.code == 0);
  const std::string run = folder / "run";
  const auto churn = [&](const Arguments& more) {
    std::vector<double> result;
    const Json json = inspect(Arguments{run} + more);
    for (const auto& layer : json.at("layers")) {
      result.push_back(layer.at("measures").at("churn"));
    }
    REQUIRE(result.size() == 2);
    return result;
  };
  CHECK(churn({"--against", "30"}) == std::vector<double>{0, 0});  // itself
  const auto early = churn({"--against", "5"});
  for (const double share : early) {
    CHECK(share > 0);
    CHECK(share <= 1);
  }
  CHECK(churn({"--against", run + "/checkpoints/step_00000005"}) == early);
  // The numbers of chosen experts are equal.
  CHECK(churn({"--checkpoint", "5", "--against", "30"})[0] == Approx(early[0]).epsilon(0.2));
  CHECK_FALSE(inspect({run}).at("layers")[0].at("measures").contains("churn"));

  const Finished none = run_child(program("moe-inspect") + Arguments{run, "--against", "7"});
  CHECK(none.code == 4);
  CHECK_THAT(none.err, Catch::Contains("no checkpoint of step 7"));
  const TemporaryFolder other;
  REQUIRE(run_child(tiny_train(other.path(), {"moe.experts=8", "train.steps=5"})).code == 0);
  const Finished different = run_child(program("moe-inspect") + Arguments{run, "--against", other / "run"});
  CHECK(different.code == 4);
  CHECK_THAT(different.err, Catch::Contains("differ"));
}

TEST_CASE("moe-inspect reports how well a competing run's router predicts the competition") {
  const TemporaryFolder folder;
  REQUIRE(run_child(tiny_train(folder.path(), {"moe.strategy={kind: compete, probability: 0.5}"})).code == 0);
  for (const int ranks : {0, 2}) {
    const Finished result = run_child((ranks > 0 ? mpirun(ranks) : Arguments{}) + program("moe-inspect") +
                                      Arguments{folder / "run", "--json", "--no-html"});
    INFO(result.err);
    REQUIRE(result.code == 0);
    const Json json = parse_json(result.out);
    for (const auto& layer : json.at("layers")) {
      const double topk_overlap = layer.at("measures").at("topk_overlap");
      CHECK(topk_overlap > 0);
      CHECK(topk_overlap <= 1);
    }
  }
}
