#include "core/inspect/run_history.h"

#include <cmath>
#include <fstream>

#include "core/inspect/lifecycle_report.h"
#include "core/inspect/placement_report.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"

using namespace moe;

TEST_CASE("damaged lines of metrics.jsonl are skipped and counted") {
  const TemporaryFolder folder;
  const std::string path = folder / "metrics.jsonl";
  std::ofstream(path)
      << R"({"schema":1,"type":"eval","step":0,"loss":5.5,"bpc":8})"
         "\n"
         R"({"schema":1,"type":"train","step":20,"tokens":200,"loss":3.0,"bpc":4.3,"load":[[0.5,0.5]],"balance":{"z":2.5}})"
         "\n"
         R"({"schema":1,"type":"train","step":10,"tokens":100,"loss":null,"bpc":"x","load":[[0.5,"a"]]})"
         "\n"
         "\n"
         R"({"type":"train","step":)"
         "\n"
         "\xFF\xFE garbage \x01\n"
         "[1, 2]\n"
         R"({"type":7,"step":1})"
         "\n"
         R"({"type":"train","step":"ten"})"
         "\n"
         R"({"type":"eval","step":20,"loss":2.5,"bpc":3.6})"
         "\n"
         R"({"type":"eval","step":30,"loss":null})"
         "\n"
         R"({"type":"something new","step":30})"
         "\n"
         R"({"type":"eval","step":40,"loss":2.6,"bp)";
  const RunHistory h = read_history(path);
  CHECK(h.found);
  CHECK(h.damaged_lines == 6);
  REQUIRE(h.train.size() == 2);
  CHECK(h.train[0].step == 10);
  CHECK(std::isnan(h.train[0].loss));
  CHECK(std::isnan(h.train[0].quality));
  CHECK(h.train[0].load.empty());
  CHECK(h.train[1].load == LoadShares{{0.5, 0.5}});
  CHECK(h.train[1].balance.at("z") == 2.5);
  REQUIRE(h.evaluations.size() == 3);
  REQUIRE(h.best());
  CHECK(h.best()->step == 20);
}

TEST_CASE("moves of experts between ranks are read and reported") {
  TemporaryFolder folder;
  std::ofstream(folder / "metrics.jsonl")
      << R"({"type":"placement","step":5,"kind":"load","layers":[{"layer":0,"moved":3,"copies":2,"busiest_before":2.5,"busiest_after":1.0},{"layer":1,"moved":4,"copies":1,"busiest_before":1.5,"busiest_after":1.25}]})"
         "\n"
         R"({"type":"placement","step":9,"kind":"co_activation","layers":[{"layer":0,"moved":0,"busiest_before":1,"busiest_after":1,"together_before":0.25,"together_after":0.5}]})"
         "\n"
         R"({"type":"placement","step":12,"kind":"<","layers":[1,{"moved":"x"}]})"
         "\n"
         R"({"type":"placement","step":13,"layers":7})"
         "\n";
  const RunHistory h = read_history(folder / "metrics.jsonl");
  REQUIRE(h.placements.size() == 4);
  CHECK(h.placements[0].busiest_before == 2.5);
  CHECK(h.placements[0].busiest_after == 1.25);
  CHECK(h.placements[0].moved == 7);
  CHECK(h.placements[0].copies == 3);
  CHECK(std::isnan(h.placements[1].copies));
  CHECK(std::isnan(h.placements[0].together_after));
  CHECK(h.placements[1].together_after == 0.5);
  CHECK(std::isnan(h.placements[2].busiest_after));
  const std::string text = placement_text(h), table = placement_table(h);
  CHECK_THAT(text, Catch::Contains("2.500 -> 1.250 | 7 experts moved | 3 copies"));
  CHECK_THAT(text, Catch::Contains("25.0% -> 50.0%"));
  CHECK_THAT(table, Catch::Contains("&lt;"));
  CHECK(placement_json(h).at(2).at("busiest_after").is_null());
  CHECK(placement_text(RunHistory{}).empty());
  CHECK(placement_table(RunHistory{}).empty());
}

TEST_CASE("expert events are read and reported") {
  TemporaryFolder folder;
  std::ofstream(folder / "metrics.jsonl")
      << R"({"type":"lifecycle","step":5,"kind":"grow","layer":1,"experts_before":4,"experts_after":8,"what":"4 <- 0","preserved":true,"loss_before":2.5,"loss_after":2.5})"
         "\n"
         R"({"type":"lifecycle","step":9,"kind":"restart","layer":0,"what":"3 <- 1","preserved":false,"why":"a < b","loss_before":"x"})"
         "\n";
  const RunHistory h = read_history(folder / "metrics.jsonl");
  REQUIRE(h.lifecycle.size() == 2);
  CHECK(h.lifecycle[0].experts_after == 8);
  CHECK(h.lifecycle[0].preserved);
  CHECK(std::isnan(h.lifecycle[1].loss_before));
  CHECK(h.lifecycle[1].why == "a < b");
  const std::string text = lifecycle_text(h), table = lifecycle_table(h);
  CHECK_THAT(text, Catch::Contains("4 -> 8"));
  CHECK_THAT(text, Catch::Contains("loss 2.5000 -> 2.5000 preserved"));
  CHECK_THAT(text, Catch::Contains("not preserved: a < b"));
  CHECK_THAT(table, Catch::Contains("a &lt; b"));
  CHECK(lifecycle_json(h).at(1).at("loss_before").is_null());
  CHECK(lifecycle_text(RunHistory{}).empty());
  CHECK(lifecycle_table(RunHistory{}).empty());
}

TEST_CASE("no metrics.jsonl is an empty history") {
  const RunHistory h = read_history("/nonexistent/metrics.jsonl");
  CHECK_FALSE(h.found);
  CHECK(h.best() == nullptr);
  CHECK(h.train.empty());
}

TEST_CASE("a classifier's records are compared by its error rate") {
  TemporaryFolder folder;
  std::ofstream(folder / "metrics.jsonl") << R"({"type":"train","step":1,"loss":2.0,"accuracy":0.25})"
                                          << "\n"
                                          << R"({"type":"eval","step":2,"loss":0.5,"accuracy":0.98,"tokens":50})"
                                          << "\n";
  const RunHistory h = read_history(folder / "metrics.jsonl");
  CHECK(h.judged_by == &metrics().at("accuracy").quality);
  CHECK(h.train.at(0).quality == Approx(75));
  CHECK(h.evaluations.at(0).quality == Approx(2));
  CHECK(read_history(folder / "absent").judged_by == &metrics().at("bpc").quality);
}

TEST_CASE("records of schema 1 are read under the names of this version") {
  TemporaryFolder folder;
  std::ofstream(folder / "metrics.jsonl")
      << R"({"schema":1,"type":"life","step":5,"kind":"grow","layer":1,"experts_before":4,"experts_after":8})"
         "\n"
         R"({"schema":1,"type":"train","step":10,"loss":2.5,"drop":0.25,"dropped":[[0.5,0]],"paced":{"model.dropout":0.1},)"
         R"("measures":{"agreement":0.5}})"
         "\n"
         R"({"schema":2,"type":"train","step":20,"loss":2,"dropped":0.125,"dropped_load":[[0.25,0]],)"
         R"("scheduled":{"model.dropout":0.2},"measures":{"topk_overlap":0.75}})"
         "\n";
  const RunHistory h = read_history(folder / "metrics.jsonl");
  CHECK(h.damaged_lines == 0);
  REQUIRE(h.lifecycle.size() == 1);
  CHECK(h.lifecycle[0].experts_after == 8);
  REQUIRE(h.train.size() == 2);
  CHECK(h.train[0].dropped == 0.25);
  CHECK(h.train[0].scheduled.at("model.dropout") == 0.1);
  CHECK(h.train[0].measures.at("topk_overlap") == 0.5);
  CHECK(h.train[1].dropped == 0.125);
  CHECK(h.train[1].scheduled.at("model.dropout") == 0.2);
  CHECK(h.train[1].measures.at("topk_overlap") == 0.75);
}
