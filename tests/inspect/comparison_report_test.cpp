// What is written of a comparison.
#include "core/inspect/comparison.h"

#include <string>

#include "core/base/json_text.h"
#include "core/inspect/comparison_csv.h"
#include "core/inspect/comparison_json.h"
#include "core/inspect/comparison_tables.h"
#include "tests/inspect/sample_comparison.h"
#include "tests/support/catch.h"

using namespace moe;
using Standing = ComparedRun::Standing;

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
