#include "core/inspect/comparison.h"

#include <fmt/core.h>

#include <cmath>
#include <string>

#include "core/base/json_text.h"
#include "core/inspect/comparison_json.h"
#include "core/inspect/comparison_text.h"
#include "tests/inspect/sample_comparison.h"
#include "tests/support/catch.h"

using namespace moe;
using Standing = ComparedRun::Standing;

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
