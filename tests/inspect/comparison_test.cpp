#include "core/inspect/comparison.h"

#include <fmt/core.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <string_view>

#include "core/base/json_text.h"
#include "core/inspect/comparison_csv.h"
#include "core/inspect/comparison_json.h"
#include "core/inspect/comparison_tables.h"
#include "core/inspect/comparison_text.h"
#include "tests/inspect/sample_comparison.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"

using namespace moe;
using Standing = ComparedRun::Standing;

static const ComparedRun& run_called(const Comparison& c, std::string_view name) {
  for (const ComparedRun& run : c.runs) {
    if (run.name == name) return run;
  }
  throw std::runtime_error("no run " + std::string(name));
}

TEST_CASE("the table of two configurations with three seeds") {
  const Comparison c = compare_runs(sample_runs(), {}, {});
  const std::string text = comparison_text(c, true);
  INFO(text);
  REQUIRE(c.configs.size() == 2);
  const ComparedConfig& b = c.configs[1];
  CHECK(b.paired_seeds == std::vector<int64_t>{1, 2, 3});
  CHECK(b.difference.mean == Approx(-0.02));
  CHECK(b.difference.half_width == Approx(0.0248414).epsilon(1e-5));
  CHECK(b.time_ratio == Approx(1.2));
  CHECK_THAT(text, Catch::Contains("2 configurations, 6 runs | 20 updates of 64 tokens | last evaluation, 499 tokens | "
                                   "baseline a"));
  CHECK_THAT(text, Catch::Contains("a           3  2.0500  0.0500    baseline\n"));
  CHECK_THAT(text, Catch::Contains("b           3  2.0300  0.0458     -0.0200  [-0.0448, +0.0048]  not decided\n"));
  CHECK_THAT(text, Catch::Contains("b          0.074  [-0.1446, +0.1046]        +0.98          about 4\n"));
  CHECK_THAT(text, Catch::Contains("b          12.0  1.20x         3.50        2.0M    500k\n"));
  CHECK_THAT(text, Catch::Contains("b           1.50   1.0    0.750\n"));
  CHECK_THAT(text, Catch::Contains("b              0.203\n"));
  CHECK_THAT(text, Catch::Contains("b: moe.router.kind: a -> b\n"));
  CHECK(text.find("note:") == std::string::npos);
  CHECK(comparison_text(c, false).find("topk_overlap") == std::string::npos);
}

TEST_CASE("the baseline's tokens are those after which it first reached its final quality") {
  ComparedRun a = sample_run("a", 1, 2), b = sample_run("b", 1, 2);
  for (ComparedRun* run : {&a, &b}) {  // both reach the final quality after 13.3 updates, and are better after 15
    EvaluationPoint better = run->history.evaluations.back();
    better.step = 15;
    better.quality = 1.5;
    run->history.evaluations.insert(run->history.evaluations.end() - 1, better);
  }
  const Comparison c = compare_runs({a, b}, {}, {});
  CHECK(c.configs[1].tokens_to_match == std::vector<double>{1});
}

TEST_CASE("tokens until a configuration reaches the baseline's final quality") {
  std::vector<ComparedRun> runs = sample_runs();
  const Comparison c = compare_runs(runs, {}, {});
  const std::vector<double>& ratios = c.configs[1].tokens_to_match;
  REQUIRE(ratios.size() == 3);  // between updates 10 and 20 its bpc decreases by 1
  CHECK(ratios[0] == Approx(0.995));
  CHECK(ratios[1] == Approx(0.990));
  CHECK(ratios[2] == Approx(0.985));
  CHECK_THAT(comparison_text(c, false), Catch::Contains("b        3 of 3     0.99x   [0.98, 1.00]          no\n"));

  runs[3].history.evaluations.back().quality = 2.001;  // b-seed1 does not reach it
  const Comparison behind = compare_runs(runs, {}, {});
  CHECK(std::isnan(behind.configs[1].tokens_to_match[0]));
  CHECK_THAT(comparison_text(behind, false), Catch::Contains("b        2 of 3         -"));
  const auto json = parse_json(json_text(comparison_json(behind)));
  CHECK(json["configs"][1]["tokens_to_match"][0].is_null());
  CHECK(json["configs"][1]["tokens_to_match"][1] == Approx(0.990));

  ComparisonOptions options;
  options.baseline = "b";  // a never reaches it
  CHECK_THAT(comparison_text(compare_runs(sample_runs(), {}, options), false), Catch::Contains("a        0 of 3"));
}

TEST_CASE("a decided difference is better or worse") {
  const std::vector<ComparedRun> lower = {sample_run("a", 1, 2), sample_run("a", 2, 2.5), sample_run("b", 1, 1.9),
                                          sample_run("b", 2, 2.401)};
  CHECK_THAT(comparison_text(compare_runs(lower, {}, {}), false), Catch::Contains("  better\n"));
  ComparisonOptions options;
  options.baseline = "b";
  CHECK_THAT(comparison_text(compare_runs(lower, {}, options), false), Catch::Contains("  worse\n"));
}

TEST_CASE("one seed has no interval") {
  const Comparison c = compare_runs({sample_run("a", 1, 2), sample_run("b", 1, 1.5)}, {}, {});
  CHECK_THAT(comparison_text(c, false),
             Catch::Contains("b           1  1.5000   -     -0.5000  needs 2 seeds        -\n"));
  const auto json = parse_json(json_text(comparison_json(c)));
  CHECK(json["configs"][1]["interval"].is_null());
  CHECK(json["configs"][1]["difference"] == -0.5);
}

TEST_CASE("seeds that only one side has are reported and not compared") {
  std::vector<ComparedRun> runs = sample_runs();
  runs.erase(runs.begin() + 4);  // b-seed2
  runs.push_back(sample_run("b", 7, 9));
  const Comparison c = compare_runs(runs, {}, {});
  const std::string text = comparison_text(c, false);
  CHECK(c.configs[1].paired_seeds == std::vector<int64_t>{1, 3});
  CHECK(c.configs[1].difference.mean == Approx(-0.02));  // mean of 0.01 and 0.03
  CHECK_THAT(text, Catch::Contains("b and a do not share the seeds 2 7: compared 2 pairs"));
  CHECK_THAT(text, Catch::Contains("b       3 (2 paired)"));

  const Comparison none = compare_runs({sample_run("a", 1, 2), sample_run("b", 2, 2)}, {}, {});
  CHECK_THAT(comparison_text(none, false), Catch::Contains("no shared seed"));
}

TEST_CASE("a run with other terms is left out, with the reason") {
  for (size_t term = 0; term < sample_run("a", 1, 2).terms.size(); ++term) {
    std::vector<ComparedRun> runs = sample_runs();
    runs[4].terms[term].second = "other";
    const Comparison c = compare_runs(runs, {}, {});
    const ComparedRun& left_out = run_called(c, "b-seed2");
    INFO(left_out.reason);
    CHECK(left_out.standing == Standing::unfair);
    CHECK(left_out.reason ==
          runs[4].terms[term].first + " other instead of " + runs[0].terms[term].second + " (a-seed1)");
    CHECK(c.configs[1].paired_seeds == std::vector<int64_t>{1, 3});
    CHECK_THAT(comparison_text(c, false), Catch::Contains("UNFAIR, left out: b-seed2: "));
  }
}

TEST_CASE("runs with one name and two configurations are unfair") {
  std::vector<ComparedRun> runs = sample_runs();
  runs[5].configuration = parse_config("seed: 3\nmoe: {router: {kind: b}, d_ff: 7}\nname: free", "test");
  const Comparison c = compare_runs(runs, {}, {});
  CHECK(run_called(c, "b-seed3").standing == Standing::unfair);
  CHECK_THAT(run_called(c, "b-seed3").reason,
             Catch::Contains("another configuration than b-seed1: moe.d_ff: (absent) -> 7"));
}

TEST_CASE("unfinished runs are listed and the rest is compared") {
  std::vector<ComparedRun> runs = sample_runs();
  runs[3].standing = Standing::unfinished;
  runs[3].reason = "logged up to step 5 of 20";
  const Comparison c = compare_runs(runs, {}, {});
  CHECK(c.configs[1].paired_seeds == std::vector<int64_t>{2, 3});
  CHECK_THAT(comparison_text(c, false), Catch::Contains("unfinished, left out: b-seed1: logged up to step 5 of 20"));
}

TEST_CASE("a seed that diverged is counted and decides the verdict") {
  std::vector<ComparedRun> runs = sample_runs();
  runs[4].standing = Standing::diverged;
  runs[4].reason = "loss or gradient not finite at step 7";
  const Comparison c = compare_runs(runs, {}, {});
  const std::string text = comparison_text(c, false);
  INFO(text);
  CHECK(c.configs[1].diverged_seeds == std::vector<int64_t>{2});
  CHECK(c.configs[1].verdict.kind == Verdict::Kind::diverged);
  CHECK_THAT(text, Catch::Contains("2 (1 diverged)") && Catch::Contains("  diverged\n") &&
                       Catch::Contains("DIVERGED: b-seed2: loss or gradient not finite at step 7"));
  // A configuration of which every seed diverged is in the tables, too.
  runs[3].standing = runs[5].standing = Standing::diverged;
  const Comparison all = compare_runs(runs, {}, {});
  REQUIRE(all.configs.size() == 2);
  CHECK_THAT(comparison_text(all, true), Catch::Contains("0 (3 diverged)"));
  comparison_json(all);
  // So is a baseline's.
  runs = sample_runs();
  runs[0].standing = Standing::diverged;
  CHECK(compare_runs(runs, {}, {}).configs[1].verdict.kind == Verdict::Kind::diverged);
}

TEST_CASE("with a margin small differences are equivalent, and the best of many gets a warning") {
  const std::vector<ComparedRun> runs = {sample_run("a", 1, 2), sample_run("a", 2, 2.5), sample_run("b", 1, 1.9991),
                                         sample_run("b", 2, 2.499)};
  ComparisonOptions options;
  options.margin = 0.02;
  const std::string text = comparison_text(compare_runs(runs, {}, options), false);
  INFO(text);
  CHECK_THAT(text, Catch::Contains("  equivalent\n") && Catch::Contains("p(beyond 0.02)"));
  std::vector<ComparedRun> many = runs;
  for (const char* name : {"c", "d"}) {
    many.push_back(sample_run(name, 1, 2.1));
    many.push_back(sample_run(name, 2, 2.6));
  }
  CHECK_THAT(comparison_text(compare_runs(many, {}, {}), false), Catch::Contains("b is the best of 3"));
  CHECK_THAT(comparison_text(compare_runs(runs, {}, {}), false), !Catch::Contains("is the best of"));
}

TEST_CASE("an interval that is narrower than copies of one run scatter is marked") {
  std::vector<ComparedRun> runs = sample_runs();
  for (int i = 1; i <= 4; ++i) {  // 2.00, 2.02, 2.04, 2.06: deviation 0.02582
    ComparedRun copy = sample_run("a", 1, 1.98 + 0.02 * i);
    copy.name = fmt::format("a-noise{}-seed1", i);
    copy.is_copy = true;
    runs.push_back(copy);
  }
  runs.push_back(runs.back());  // of another configuration, and with other terms: neither counts
  runs.back().config = "b";
  runs.push_back(runs.back());
  runs.back().config = "a";
  runs.back().terms[0].second = "other";
  const Comparison c = compare_runs(runs, {}, {});
  const std::string text = comparison_text(c, false);
  INFO(text);
  CHECK(c.noise.qualities.size() == 4);
  CHECK(c.noise.deviation == Approx(0.0258199).epsilon(1e-5));
  CHECK(c.noise.half_width(3) == Approx(4.30265 * 0.0258199 * std::sqrt(2.0 / 3)).epsilon(1e-5));
  REQUIRE(c.configs.size() == 2);
  CHECK(c.configs[0].runs.size() == 3);
  CHECK(c.is_below_noise(c.configs[1]));  // +-0.0248 of +-0.0907
  CHECK_THAT(text, Catch::Contains("[-0.0448, +0.0048]*") && Catch::Contains("4 copies of a with seed 1") &&
                       Catch::Contains("the interval of b is narrower than that of 3 pairs"));
  const auto json = parse_json(json_text(comparison_json(c)));
  CHECK(json["noise"]["deviation"].get<double>() == Approx(0.0258199).epsilon(1e-5));
  CHECK(json["configs"][1]["below_noise"] == true);

  runs.resize(8);  // two copies
  runs[7].quality = 2.0001;
  const Comparison few = compare_runs(runs, {}, {});
  CHECK_THAT(comparison_text(few, false), Catch::Contains("at least four are needed"));
  CHECK_FALSE(few.is_below_noise(few.configs[1]));
  CHECK_FALSE(compare_runs(sample_runs(), {}, {}).is_below_noise(c.configs[1]));
}

TEST_CASE("a comparison as comma-separated values") {
  std::vector<ComparedRun> runs = sample_runs();
  runs[3].standing = Standing::unfinished;
  runs[3].reason = "a \"reason\", with a comma";
  runs[4].dead = kAbsent;
  const std::string csv = comparison_csv(compare_runs(runs, {}, {}));
  INFO(csv);
  CHECK_THAT(csv, Catch::StartsWith("name,config,seed,standing,reason,step,bpc,ms_per_step,"));
  CHECK_THAT(csv, Catch::Contains("a-seed1,a,1,fair,,20,2,10,3500000,2000000,500000,1.5,1,0.75,0.2\r\n"));
  CHECK_THAT(csv, Catch::Contains("b-seed1,b,1,unfinished,\"a \"\"reason\"\", with a comma\",20,"));
  CHECK_THAT(csv, Catch::Contains("b-seed2,b,2,fair,,20,2.08,12,3500000,2000000,500000,1.5,,0.75,0.208\r\n"));
}

TEST_CASE("choice of the baseline") {
  CHECK(compare_runs(sample_runs(), {"b", "a"}, {}).baseline_config().name == "b");
  CHECK(compare_runs(sample_runs(), {"gone", "b"}, {}).baseline_config().name == "b");
  ComparisonOptions options;
  options.baseline = "b";
  CHECK(compare_runs(sample_runs(), {"a"}, options).baseline_config().name == "b");
  options.baseline = "c";
  CHECK_THROWS_AS(compare_runs(sample_runs(), {}, options), UsageError);

  // Without a finished run of the first configuration, the next one is used; a requested one is not replaced.
  std::vector<ComparedRun> runs = sample_runs();
  for (size_t i = 0; i < 3; ++i) runs[i].standing = Standing::unfinished;
  const Comparison c = compare_runs(runs, {}, {});
  CHECK(c.baseline_config().name == "b");
  CHECK_THAT(comparison_text(c, false), Catch::Contains("no run of a can be compared: b is the baseline"));
  options.baseline = "a";
  CHECK_THROWS_AS(compare_runs(runs, {}, options), CheckpointError);
  for (ComparedRun& run : runs) run.standing = Standing::unfinished;
  CHECK_THROWS_AS(compare_runs(runs, {}, {}), CheckpointError);
}

TEST_CASE("other machines, precisions and builds are reported") {
  std::vector<ComparedRun> runs = sample_runs();
  for (ComparedRun& run : runs) run.precision = "f32";
  runs[1].precision = "f32, products in bf16";
  runs[2].machine = "other, 2 x 1 threads, avx2";
  runs[3].program = "q";
  const std::string text = comparison_text(compare_runs(runs, {}, {}), false);
  CHECK_THAT(text,
             Catch::Contains("times cannot be compared, because the runs were made on different machines: host, 1 x 1 "
                             "threads, avx2 (5 runs); other, 2 x 1 threads, avx2 (1 run)"));
  CHECK_THAT(text, Catch::Contains("different builds of moe-train: p (5 runs); q (1 run)"));
  CHECK_THAT(text, Catch::Contains("different precisions: f32 (5 runs); f32, products in bf16 (1 run)"));
}

TEST_CASE("the JSON report parses and agrees") {
  const auto json = parse_json(json_text(comparison_json(compare_runs(sample_runs(), {}, {}))));
  CHECK(json["baseline"] == "a");
  CHECK(json["runs"].size() == 6);
  CHECK(json["runs"][0]["standing"] == "fair");
  CHECK(json["configs"][1]["difference"].get<double>() == Approx(-0.02));
  CHECK(json["configs"][1]["interval"][0].get<double>() == Approx(-0.0448414).epsilon(1e-5));
  CHECK(json["configs"][1]["excludes_zero"] == false);
  CHECK(json["configs"][1]["verdict"] == "not decided");
  CHECK(json["configs"][1]["p"].get<double>() == Approx(0.0742).epsilon(1e-3));
  CHECK(json["configs"][1]["seeds_to_decide"] == 4);
  CHECK(json["configs"][1]["correlation"].get<double>() == Approx(0.982).epsilon(1e-3));
  CHECK(json["configs"][1]["measures"]["topk_overlap"].get<double>() == Approx(0.203));
  CHECK(json["terms"]["evaluated tokens"] == "499");
}

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

// The baseline of sample_runs() at another length, whose loss is on a curve through that of its seed.
static ComparedRun other_cost(int64_t seed, double bits, int64_t updates) {
  ComparedRun run = sample_run("a", seed, bits);
  run.name = fmt::format("costs/{}/{}", updates, run.name);
  run.has_other_cost = true;
  run.step = updates;
  for (auto& [name, value] : run.terms) {
    if (name == "updates") value = std::to_string(updates);
  }
  run.configuration = parse_config(
      fmt::format("seed: {}\nmoe: {{router: {{kind: a}}}}\ntrain: {{steps: {}}}\n", seed, updates), "test");
  return run;
}

TEST_CASE("runs of the baseline at other costs give the effective speedup") {
  std::vector<ComparedRun> runs = sample_runs();
  for (const int64_t seed : {1, 2, 3}) {
    const double here = runs[seed - 1].quality;
    runs.push_back(other_cost(seed, here + 0.05, 10));
    runs.push_back(other_cost(seed, here - 0.04, 40));
  }
  const Comparison c = compare_runs(std::move(runs), {"a"}, {});
  CHECK(c.with(ComparedRun::Standing::other_cost).size() == 6);
  REQUIRE(c.configs.size() == 2);
  REQUIRE(c.costs.size() == 3);
  CHECK(c.costs[0].cost == Approx(c.reference().operations() / 2));
  const ComparedConfig& b = c.configs[1];
  // b is better by 0.02 where twice the cost is worth 0.04: about 2^0.48.
  CHECK(b.speedup.value > 1.3);
  CHECK(b.speedup.value < 1.5);
  CHECK(b.speedup.seeds == 3);
  CHECK_FALSE(b.speedup.extrapolated);
  CHECK(b.speedup.low < b.speedup.value);
  CHECK(b.speedup.high > b.speedup.value);
  // Its operations are as many, and a step takes 1.2 times as long.
  CHECK(b.time_speedup == Approx(b.speedup.value / 1.2));
  CHECK_THAT(comparison_text(c, false), Catch::Contains("trained at cost 0.5, 1, 2"));
}

TEST_CASE("a run at another cost that differs in more than its length is unfair") {
  std::vector<ComparedRun> runs = sample_runs();
  runs.push_back(other_cost(1, 2.05, 10));
  runs.push_back(other_cost(2, 2.15, 10));
  runs[6].configuration = parse_config("seed: 1\nmoe: {router: {kind: a}, experts: 3}\n", "test");
  runs[7].config = "b";
  const Comparison c = compare_runs(std::move(runs), {"a"}, {});
  CHECK(c.with(ComparedRun::Standing::unfair).size() == 2);
  CHECK(c.costs.empty());
  CHECK(std::isnan(c.configs[1].speedup.value));
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

TEST_CASE("parts of the validation text give an interval for other texts") {
  std::vector<ComparedRun> runs = sample_runs();
  for (ComparedRun& run : runs) {
    for (int i = 0; i < 20; ++i)
      run.parts.push_back({.loss = run.quality * (i % 2 == 0 ? 90 : 110), .tokens = 100, .correct = 0});
  }
  const Comparison c = compare_runs(std::move(runs), {"a"}, {});
  const TextInterval& text = c.configs[1].over_text;
  CHECK(text.parts == 20);
  CHECK(text.low < -0.0195);
  CHECK(text.low > -0.0215);
  CHECK(text.high > -0.0205);
  CHECK_THAT(comparison_text(c, false), Catch::Contains("over texts"));
}

TEST_CASE("a comparison answers in one sentence") {
  std::vector<ComparedRun> runs = sample_runs();
  CHECK(comparison_answer(compare_runs(runs, {"a"}, {})) == "Not decided: b (about 4 seeds would decide).");
  for (const int64_t seed : {1, 2, 3}) {
    const double baseline = runs[seed - 1].quality, noise = 0.0001 * static_cast<double>(seed);
    runs.push_back(sample_run("c", seed, baseline - 0.1 + noise));
    runs.push_back(sample_run("d", seed, baseline + 0.1 + noise));
    runs.push_back(sample_run("e", seed, baseline + noise));
  }
  ComparisonOptions options;
  options.margin = 0.01;
  CHECK(comparison_answer(compare_runs(runs, {"a"}, options)) ==
        "Better than a in bits per character: c (by 0.0998, 95 % interval 0.0996 to 0.1000); worse than a in bits per "
        "character: d (by 0.1002, 95 % interval 0.1000 to 0.1004); equivalent to a within 0.01: e; not decided: b "
        "(about 5 seeds "
        "would decide).");
  CHECK(comparison_answer(compare_runs({sample_run("a", 1, 2)}, {}, {})).empty());
}
