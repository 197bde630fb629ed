// Reports on what the ranks sent, and the picture of an update.
#include "core/inspect/communication_report.h"

#include <fstream>

#include "core/inspect/timeline.h"
#include "tests/inspect/markup_error.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"

using namespace moe;

namespace {

size_t count(const std::string& text, const std::string& part) {
  size_t n = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++n;
  return n;
}

Timeline sample_timeline() {
  return {
      .step = 30,
      .rank = 0,
      .seconds = 0.04,
      .phases = {{"forward", 0, 0.01}, {"backward", 0.01, 0.03}, {"reduction", 0.03, 0.035}, {"update", 0.035, 0.04}},
      .events = {{"dispatch", 1, 0.002, 0.005, 0.001, 0},
                 {"combine", 1, 0.006, 0.007, 0, 0},
                 {"gradients", 1, 0.02, 0.032, 0, 0.01},
                 {"<odd>", 0, 0.01, 0.02, 0, 0}}};
}

}  // namespace

TEST_CASE("records of communication are read and reported, and damaged ones do no harm") {
  TemporaryFolder folder;
  std::ofstream(folder / "metrics.jsonl")
      << R"({"type":"communication","step":10,"ranks":4,"hosts":2,"seconds":0.5,"lost":0.25,"rows":[)"
         R"({"kind":"dispatch","layer":0,"bytes_inside":1024,"bytes_between":2048,"messages_inside":3,"messages_between":4,"transfer":0.01,"waiting":0.002,"hidden":0},)"
         R"({"kind":"dispatch","layer":1,"bytes_inside":1024,"bytes_between":0,"messages_inside":3,"messages_between":0,"transfer":0.02,"waiting":0,"hidden":0},)"
         R"({"kind":"gradients","layer":-1,"bytes_inside":0,"bytes_between":4096,"messages_inside":0,"messages_between":2}]})"
         "\n"
         R"({"type":"communication","step":20,"ranks":"x","rows":[1,{"kind":7,"layer":"a","transfer":"b"},null]})"
         "\n"
         R"({"type":"communication","step":5,"lost":1e308,"rows":{}})"
         "\n"
         R"({"type":"timeline","step":10,"rank":0,"seconds":0.5,"phases":[{"name":"forward","begin":0,"end":0.2}],)"
         R"("events":[{"kind":"dispatch","layer":0,"begin":0.1,"end":0.15,"waiting":0.01,"hidden":0}]})"
         "\n";
  RunHistory h = read_history(folder / "metrics.jsonl");
  CHECK(h.damaged_lines == 0);
  REQUIRE(h.communication.size() == 3);
  CHECK(h.communication[0].step == 5);
  CHECK(h.communication[2].rows.size() == 1);
  REQUIRE(h.timeline);
  CHECK(h.timeline->events.size() == 1);
  CHECK(page_error(communication_section(h)) == "");
  CHECK(communication_json(h).at(1).at("rows").at(2).at("transfer").is_null());

  h.communication.pop_back();
  const std::string text = communication_text(h), page = communication_section(h);
  CHECK_THAT(text, Catch::Contains("500.00 ms on 4 ranks, 2 hosts; lost 25.0 %"));
  CHECK_THAT(text, Catch::Contains("30.00"));  // both layers' dispatch
  CHECK(count(text, "dispatch") == 1);
  CHECK(count(page, "<td>dispatch</td>") == 2);
  CHECK(page_error(page) == "");
  CHECK(communication_text(RunHistory{}).empty());
  CHECK(communication_section(RunHistory{}).empty());
}

TEST_CASE("phases and events without sensible times are left out of a timeline") {
  TemporaryFolder folder;
  std::ofstream(folder / "metrics.jsonl")
      << R"({"type":"timeline","step":1,"phases":[{"name":"forward","begin":2,"end":1},{"name":"update","begin":-1,"end":1},7],)"
         R"("events":[{"kind":"sums","begin":0,"end":1},{"kind":"sums","begin":0,"end":1e307,"waiting":0,"hidden":0},{"kind":"sums","begin":0,"waiting":0,"hidden":0},)"
         R"({"kind":"sums","begin":0,"end":1,"waiting":-1,"hidden":0},"x"]})"
         "\n";
  const RunHistory h = read_history(folder / "metrics.jsonl");
  REQUIRE(h.timeline);
  CHECK(h.timeline->phases.empty());
  CHECK(h.timeline->events.empty());
  CHECK(draw(*h.timeline).empty());
}

TEST_CASE("a timeline has a bar for each phase and each event of a known kind, inside of its axis") {
  const std::string svg = draw(sample_timeline());
  CHECK(markup_error(svg) == "");
  CHECK_THAT(svg, Catch::Contains("Update 30 of rank 0"));
  // Three phases (the reduction is a gap), three events, and the waiting of one.
  CHECK(count(svg, "<rect class=\"span") == 7);
  CHECK(count(svg, "span wait") == 1);
  CHECK(count(svg, "span behind") == 1);
  CHECK_THAT(svg, Catch::Contains("gradients, block 1: 12.000 ms, from 20.000 to 32.000; 10.000 ms hidden"));
  CHECK(svg.find("odd") == std::string::npos);
  for (size_t at = svg.find("<rect"); at != std::string::npos; at = svg.find("<rect", at + 1)) {
    const auto number = [&](const char* name) {
      return std::stod(svg.substr(svg.find(name, at) + std::string(name).size()));
    };
    CHECK(number(" x=\"") >= 96);
    CHECK(number(" x=\"") + number(" width=\"") <= 1108);
  }
}
