#include "core/inspect/html_report.h"

#include <filesystem>
#include <fstream>

#include "core/inspect/line_chart.h"
#include "core/inspect/markup.h"
#include "tests/inspect/markup_error.h"
#include "tests/inspect/sample_inspection.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"

using namespace moe;

TEST_CASE("the markup checker finds mistakes") {
  CHECK(markup_error("<!DOCTYPE html><a b=\"c>d\"><i/>&amp;</a>").empty());
  CHECK_FALSE(markup_error("<a><b></a></b>").empty());
  CHECK_FALSE(markup_error("<a>").empty());
  CHECK_FALSE(markup_error("a & b").empty());
}

static void check_page(const Inspection& inspection) {
  CHECK(page_error(html_report(inspection)) == "");
}

TEST_CASE("the page is well-formed, self-contained and escapes text") {
  const std::string page = html_report(sample_inspection());
  check_page(sample_inspection());
  CHECK_THAT(page, Catch::Contains("a &lt;b&gt; &amp; &quot;c&quot;"));
  CHECK(page.find("<b> &") == std::string::npos);
  CHECK(page.find("<corpus>") == std::string::npos);
  for (const char* title :
       {"Learning curves", "Learning rate", "Gradient norm", "Throughput", "Imbalance", "Dead experts",
        "Router entropy", "Balance loss: switch", "Layer 1", "prefers-color-scheme"}) {
    CHECK_THAT(page, Catch::Contains(title));
  }
}

TEST_CASE("pages of unusual runs") {
  SECTION("no MoE layers") {
    check_page(sample_inspection(0));
  }
  SECTION("one expert") {
    check_page(sample_inspection(1, 1));
  }
  SECTION("many experts and layers") {
    check_page(sample_inspection(40, 200));
  }
  SECTION("no metrics.jsonl") {
    Inspection i = sample_inspection();
    i.history = {};
    check_page(i);
    CHECK_THAT(html_report(i), Catch::Contains("No metrics.jsonl"));
  }
  SECTION("one evaluation only") {
    Inspection i = sample_inspection();
    i.history.train.clear();
    i.history.evaluations.resize(1);
    check_page(i);
    CHECK_THAT(html_report(i), Catch::Contains("Learning curves"));
  }
  SECTION("damaged lines and records with only a step") {
    Inspection i = sample_inspection();
    i.history.damaged_lines = 3;
    for (TrainPoint& p : i.history.train) {
      TrainPoint bare;
      bare.step = p.step;
      p = bare;
    }
    check_page(i);
    CHECK_THAT(html_report(i), Catch::Contains("3 damaged line(s)"));
  }
  SECTION("a history with other layers than the model") {
    Inspection i = sample_inspection();
    for (TrainPoint& p : i.history.train) p.load.resize(1);
    for (EvaluationPoint& e : i.history.evaluations) e.load = {{1.0}, {0.5, 0.5}};
    check_page(i);
  }
  SECTION("no weights with known names") {
    Inspection i = sample_inspection();
    for (LayerStats& s : i.layers) s.norms = {};
    check_page(i);
  }
}

TEST_CASE("text for markup") {
  CHECK(escape_markup("<a href=\"x\">&'") == "&lt;a href=&quot;x&quot;&gt;&amp;&#39;");
  CHECK(escape_markup("é€😀") == "é€😀");
  CHECK(escape_markup("a\x01\xC3") == "a\xEF\xBF\xBD\xEF\xBF\xBD");
  CHECK(escape_markup("\xED\xA0\x80x") == "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBDx");
}

TEST_CASE("axes have round ticks") {
  CHECK(linear_axis(0, 10, 5).ticks == std::vector<double>{0, 2, 4, 6, 8, 10});
  CHECK(linear_axis(3, 3, 5).ticks.size() >= 3);
  CHECK(linear_axis(0.9462, 0.9999, 2).ticks.size() >= 3);
  CHECK(log_axis(0.5, 200).ticks == std::vector<double>{1, 10, 100});
  CHECK(log_axis(1, 10).ticks == std::vector<double>{1, 2, 5, 10});
  for (const auto& [value, label] :
       {std::pair{0.0, "0"}, {0.25, "0.25"}, {3000.0, "3000"}, {20000.0, "20k"}, {1.5e6, "1.5M"}, {0.0003, "3e-4"}}) {
    CHECK(tick_label(value) == label);
  }
}

TEST_CASE("the path of the page") {
  const TemporaryFolder folder;
  const std::string run = folder / "run", checkpoint = run + "/checkpoints/step_00000001", lone = folder / "copy";
  std::filesystem::create_directories(checkpoint);
  std::filesystem::create_directories(lone);
  std::ofstream(run + "/config.yaml") << "name: run\n";
  CHECK(report_path("", false, run) == run + "/report.html");
  CHECK(report_path("", true, checkpoint) == run + "/report.html");
  CHECK(report_path("", true, checkpoint + "/") == run + "/report.html");
  CHECK(report_path("", false, checkpoint).empty());
  CHECK(report_path("x.html", true, lone) == "x.html");
  CHECK_THROWS_AS(report_path("", true, lone), UsageError);
  CHECK_THROWS_AS(write_report(folder / "absent/x.html", "page", true), CheckpointError);
  CHECK_NOTHROW(write_report(folder / "absent/x.html", "page", false));
}
