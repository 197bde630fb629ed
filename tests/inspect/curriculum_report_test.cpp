#include "core/inspect/curriculum_report.h"

#include <array>
#include <cmath>
#include <fstream>
#include <map>

#include "core/inspect/html_report.h"
#include "tests/inspect/markup_error.h"
#include "tests/inspect/sample_inspection.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"

namespace moe {
namespace {

CurriculumStats sample_stats() {
  CurriculumStats stats{"buckets", 1000, 400, 9e4, {{0, -2}, {0.5, 0}, {1, 3}}};
  stats.easiest = {{12, 0, -2, 7, {{"loss", 1.25}}, {"plain\nand <easy>"}}};
  std::string text(600, 'x');
  text += "\xc3\xa9";
  stats.hardest = {{99, 0.999, 3, 0, {{"loss", 4.5}}, {text}}};
  return stats;
}

RunHistory sample_history() {
  RunHistory history;
  for (int64_t step = 10; step <= 100; step += 10) {
    TrainPoint& p = history.train.emplace_back();
    p.step = step;
    if (step < 30) continue;  // started before there was a curriculum
    const double share = static_cast<double>(step) / 100;
    p.curriculum =
        CurriculumPoint{share, share / 2, {{"easy", 0.4}, {"hard", 0.6}}, {{"easy", 0.5}, {"hard", 0.5}}, {}};
    p.curriculum->difficulty["loss"] = {1, 2, 3 + share};
  }
  return history;
}

}  // namespace

TEST_CASE("a curriculum's report contains the open share, the mix, the quantiles and the extreme samples") {
  const std::string text = curriculum_text(sample_stats(), sample_history());
  for (const char* part : {"sampler buckets", "400 of 1.0k samples", "open 100 %", "easy           40.0 %    50.0 %",
                           "loss                     1         2         4", "50 %: +0.00", "sample 12",
                           "plain and <easy>", "loss 1.25 seen at 7", "score +3.00"}) {
    INFO(text);
    CHECK(text.find(part) != std::string::npos);
  }
  const auto json = curriculum_json(sample_stats(), sample_history());
  CHECK(json["easiest"][0]["description"] == "plain\nand <easy>");
  CHECK(json["difficulty"]["loss"][2] == 4);
  CHECK(json["wanted"]["easy"] == 0.5);
  CHECK(curriculum_text(std::nullopt, RunHistory()).empty());
  CHECK(curriculum_json(std::nullopt, RunHistory()).empty());
  CHECK(curriculum_plots(RunHistory()).empty());
  CHECK(curriculum_tables(CurriculumStats{"order", 10, 0, 100, {}, {}, {}}).empty());
}

TEST_CASE("the page has a well-formed section on the curriculum only if there was one") {
  Inspection inspection = sample_inspection();
  CHECK(html_report(inspection).find("Curriculum") == std::string::npos);
  inspection.curriculum = sample_stats();
  inspection.history.train = sample_history().train;
  const std::string html = html_report(inspection);
  CHECK(markup_error(html) == "");
  for (const char* part :
       {"Open part", "Drawn as easy", "Drawn as hard", "Difficulty: loss", "plain and &lt;easy&gt;"}) {
    CHECK(html.find(part) != std::string::npos);
  }
}

TEST_CASE("records of a curriculum are read, and damaged parts are left out") {
  TemporaryFolder folder;
  std::ofstream(folder / "metrics.jsonl")
      << R"({"type": "train", "step": 1, "curriculum": {"open": 0.5, "drawn": {"easy": 1, "odd": "x"}, "difficulty": {"loss": [1, 2, 3], "bad": [1]}}})"
      << "\n"
      << R"({"type": "train", "step": 2, "curriculum": 7})"
      << "\n";
  const RunHistory history = read_history(folder / "metrics.jsonl");
  REQUIRE(history.train.size() == 2);
  REQUIRE(history.train[0].curriculum.has_value());
  const CurriculumPoint& point = *history.train[0].curriculum;
  CHECK(point.open == 0.5);
  CHECK(point.drawn == std::map<std::string, double>{{"easy", 1}});
  CHECK(std::isnan(point.seen));
  CHECK(point.difficulty.size() == 1);
  CHECK(point.difficulty.at("loss") == std::array<double, 3>{1, 2, 3});
  CHECK_FALSE(history.train[1].curriculum.has_value());
}

}  // namespace moe
