// Folders of runs, as they are read for a comparison.
#include "core/inspect/comparison.h"

#include <fmt/core.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "core/base/json_text.h"
#include "core/inspect/comparison_json.h"
#include "core/inspect/comparison_text.h"
#include "tests/inspect/sample_comparison.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"

using namespace moe;
using Standing = ComparedRun::Standing;

TEST_CASE("a run's folder is read completely") {
  TemporaryFolder folder;
  SampleFolder().write(folder.path(), "a-seed1");
  const ComparedRun last = read_compared_run(folder.path(), "a-seed1", ComparedAt::last);
  INFO(last.reason);
  REQUIRE(last.standing == Standing::fair);
  CHECK(last.config == "a");
  CHECK(last.seed == 1);
  CHECK(last.step == 20);
  CHECK(last.quality == 2.5);
  CHECK(last.milliseconds == 20);  // the median of 30, 10, 20
  CHECK(last.max_over_mean == 2);  // half of the load on one of four experts, in the worse layer
  CHECK(last.dead == 2);
  CHECK(last.router_entropy == Approx(0.5));  // in the last tenth: ln 2 over ln 4
  CHECK(last.measures.at("topk_overlap") == 0.25);
  CHECK(last.machine == "h, 1 x 2 threads, avx2");

  const ComparedRun best = read_compared_run(folder.path(), "a-seed1", ComparedAt::best);
  CHECK(best.step == 10);
  CHECK(best.quality == 1.5);
  CHECK(best.max_over_mean == 1);
  CHECK(best.router_entropy == Approx(1));
  CHECK(best.measures.at("topk_overlap") == 0.5);
  CHECK(best.terms.back() == std::pair<std::string, std::string>{"number of evaluations", "3"});

  SampleFolder copy;
  copy.config = "seed: 1\nmoe: {experts: 4}\ninit: {perturb: 1e-6}\n";
  copy.write(folder.path(), "a-noise2-seed1");
  const ComparedRun perturbed = read_compared_run(folder.path(), "a-noise2-seed1", ComparedAt::last);
  CHECK(perturbed.is_copy);
  CHECK(perturbed.config == "a");
  CHECK_FALSE(last.is_copy);

  // A name that scripts/compare does not give makes a separate configuration.
  SampleFolder().write(folder.path(), "lone");
  SampleFolder().write(folder.path(), "a-seed2");  // its seed is 1
  CHECK(read_compared_run(folder.path(), "lone", ComparedAt::last).config == "lone");
  CHECK(read_compared_run(folder.path(), "a-seed2", ComparedAt::last).config == "a-seed2");
}

TEST_CASE("folders of runs that cannot be compared") {
  TemporaryFolder folder;
  const auto reason = [&](const SampleFolder& sample, Standing standing) {
    std::filesystem::remove_all(folder / "a-seed1");
    sample.write(folder.path(), "a-seed1");
    const ComparedRun run = read_compared_run(folder.path(), "a-seed1", ComparedAt::last);
    CHECK(run.standing == standing);
    CHECK(run.config == "a");
    return run.reason;
  };
  SampleFolder s;
  s.manifest = "";
  CHECK_THAT(reason(s, Standing::unfinished), Catch::Contains("no manifest.json"));
  s.manifest = "{";
  CHECK_THAT(reason(s, Standing::unreadable), Catch::Contains("damaged"));
  s.manifest = R"({"seed": 1})";
  CHECK_THAT(reason(s, Standing::unreadable), Catch::Contains("older moe-train"));
  s = {};
  s.manifest = replaced(s.manifest, R"("updates": 20)", R"("updates": 30)");
  CHECK(reason(s, Standing::unfinished) == "logged up to step 20 of 30");
  s = {};
  s.metrics = s.metrics.substr(0, s.metrics.rfind("{\"type\":\"eval\""));
  CHECK_THAT(reason(s, Standing::unfinished), Catch::Contains("last evaluation is missing"));
  s.metrics = "";
  CHECK_THAT(reason(s, Standing::unreadable), Catch::Contains("never evaluated"));
  s = {};
  s.config = "a: [";
  CHECK_THAT(reason(s, Standing::unreadable), Catch::Contains("not valid YAML"));
  s = {};
  s.manifest = replaced(s.manifest, R"("sessions": [)", R"("sessions": [{"from": 0, "updates": 10}, )");
  CHECK_THAT(reason(s, Standing::unfair), Catch::Contains("length was changed during training (10, then 20 updates)"));
}

TEST_CASE("no run is left out of a comparison without a word") {
  const TemporaryFolder folder;
  for (const char* name : {"a-seed1", "b-seed1", "empty-seed1", "absent-seed1", "torn-seed1"})
    SampleFolder().write(folder.path(), name);
  const auto remove = [&](const std::string& file) { std::filesystem::remove(folder / file); };
  std::ofstream(folder / "empty-seed1/metrics.jsonl", std::ios::trunc);
  remove("absent-seed1/metrics.jsonl");
  std::ofstream(folder / "torn-seed1/metrics.jsonl", std::ios::trunc) << "{\"type\":\"tr";
  SampleFolder().write(folder.path(), "bare-seed1");
  remove("bare-seed1/config.yaml");
  remove("bare-seed1/manifest.json");
  SampleFolder().write(folder.path(), "lost-seed1");
  remove("lost-seed1/config.yaml");
  const Comparison c = compare_folder(folder.path(), {});
  REQUIRE(c.configs.size() == 2);
  const std::string text = comparison_text(c, false), json = json_text(comparison_json(c));
  INFO(text);
  for (const char* name : {"empty", "absent", "torn"})
    CHECK_THAT(text, Catch::Contains(fmt::format("left out: {}-seed1: it was never evaluated", name)));
  CHECK_THAT(text, Catch::Contains("left out: bare-seed1: it has not started: no manifest.json"));
  CHECK_THAT(text, Catch::Contains("left out: lost-seed1: cannot read"));
  for (const char* name : {"empty", "absent", "torn", "bare", "lost"})
    CHECK_THAT(json, Catch::Contains(fmt::format("\"{}-seed1\"", name)));
}

TEST_CASE("a folder without runs, and a missing folder") {
  TemporaryFolder folder;
  CHECK_THROWS_AS(compare_folder(folder.path(), {}), CheckpointError);
  CHECK_THROWS_AS(compare_folder(folder / "absent", {}), CheckpointError);
  SampleFolder().write(folder.path(), "z-seed1");
  SampleFolder().write(folder.path(), "a-seed1");
  CHECK(compare_folder(folder.path(), {}).baseline_config().name == "a");
  std::ofstream(folder / "configs.txt") << "z\na\n";
  CHECK(compare_folder(folder.path(), {}).baseline_config().name == "z");
}

TEST_CASE("the folder costs holds the baseline's runs of other lengths") {
  TemporaryFolder folder;
  SampleFolder a;
  a.write(folder.path(), "a-seed1");
  SampleFolder half = a;
  half.manifest =
      replaced(replaced(half.manifest, "\"updates\": 20", "\"updates\": 10"), "\"updates\": 20", "\"updates\": 10");
  half.config = "seed: 1\nmoe: {experts: 4}\ntrain: {steps: 10}\n";
  half.metrics = half.metrics.substr(0, half.metrics.find("{\"type\":\"train\",\"step\":15"));
  half.write(folder.path(), "costs/0.5/a-seed1");
  const Comparison c = compare_folder(folder.path(), {});
  const ComparedRun& run = run_called(c, "costs/0.5/a-seed1");
  CHECK(run.reason == "");
  CHECK(run.standing == Standing::other_cost);
  CHECK(run.config == "a");
  CHECK(run.operations() == 1000.0 * 64 * 10);
  CHECK(run.quality == 1.5);
  REQUIRE(c.configs.size() == 1);
  CHECK(c.configs[0].runs.size() == 1);
  CHECK(c.costs.size() == 2);
}
