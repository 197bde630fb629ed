#include "core/inspect/comparison_html.h"

#include "core/inspect/dot_plot.h"
#include "core/inspect/line_chart.h"
#include "tests/inspect/markup_error.h"
#include "tests/inspect/sample_comparison.h"
#include "tests/support/catch.h"

using namespace moe;

TEST_CASE("the page of a comparison is well-formed and shows everything") {
  const std::string page = comparison_html(compare_runs(sample_runs(), {}, {}), true);
  CHECK(page_error(page) == "");
  for (const char* part :
       {"Comparison with a", "[-0.0448, +0.0048]", "Paired differences", "Difference to the baseline",
        "class=\"band c1\"", "topk_overlap", "1.20x", "moe.router.kind"}) {
    CHECK_THAT(page, Catch::Contains(part));
  }
}

TEST_CASE("pages of unusual comparisons") {
  SECTION("one configuration, one seed") {
    CHECK(page_error(comparison_html(compare_runs({sample_run("a", 1, 2)}, {}, {}), true)) == "");
  }
  SECTION("names that look like markup, and runs that were left out") {
    std::vector<ComparedRun> runs = sample_runs();
    for (ComparedRun& run : runs) run.config = "<b>&" + run.config;
    runs[5].terms[0].second = "<other>";
    const std::string page = comparison_html(compare_runs(runs, {}, {}), true);
    CHECK(page_error(page) == "");
    CHECK_THAT(page, Catch::Contains("UNFAIR, left out") && Catch::Contains("&lt;other&gt;"));
  }
  SECTION("no history, no experts, no times") {
    std::vector<ComparedRun> runs = sample_runs();
    for (ComparedRun& run : runs) {
      run.history = {};
      run.max_over_mean = run.dead = run.router_entropy = run.milliseconds = kAbsent;
      run.measures.clear();
    }
    CHECK(page_error(comparison_html(compare_runs(runs, {}, {}), true)) == "");
  }
  SECTION("more configurations than colours, one pair each, equal runs") {
    std::vector<ComparedRun> runs;
    for (int i = 0; i < 12; ++i) runs.push_back(sample_run(std::string(40, static_cast<char>('a' + i)), 1, 2));
    CHECK(page_error(comparison_html(compare_runs(runs, {}, {}), true)) == "");
  }
}

TEST_CASE("an interval that is far wider than the points ends in arrows, and the points stay distinguishable") {
  const std::string figure = draw(DotPlot{"t", "n", "x", {{"one", 0, {-0.01, -0.02}, -0.015, 5, "text"}}});
  CHECK(page_error(figure) == "");
  CHECK(figure.find("-4") == std::string::npos);  // the interval's size gives no tick
  CHECK_THAT(figure, Catch::Contains("-0.02"));
  CHECK(draw(DotPlot{}).empty());
}

TEST_CASE("a band needs an edge for every point") {
  LineChart chart{"t", "n", "x", {{"one", {0, 1, 2}, {1, 2, 3}}}};
  CHECK(draw({chart}).find("band") == std::string::npos);
  chart.curves[0].low = {0, 1, 2};
  CHECK(draw({chart}).find("band") == std::string::npos);
  chart.curves[0].high = {9, 9, 40};
  CHECK_THAT(draw({chart}), Catch::Contains("class=\"band c0\"") && Catch::Contains(">40<"));  // the axis includes it
}
