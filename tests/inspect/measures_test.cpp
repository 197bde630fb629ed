// The measures that routers and strategies report reach every report by name.
#include "core/base/json_text.h"
#include "core/inspect/html_report.h"
#include "core/inspect/json_report.h"
#include "core/inspect/text_report.h"
#include "tests/inspect/sample_inspection.h"
#include "tests/support/catch.h"

using namespace moe;

TEST_CASE("every measure is in the table, in JSON and on the page") {
  const Inspection i = sample_inspection(2, 8);
  const std::string text = text_report(i, false), page = html_report(i);
  const auto json = parse_json(json_text(json_report(i)));
  for (const auto& [name, value] : i.layers[1].measures) {
    INFO(name);
    CHECK_THAT(text, Catch::Contains(fmt::format("{} {:.4g}", name, value)));
    CHECK_THAT(page, Catch::Contains(">" + name + "<") && Catch::Contains(fmt::format("<td>{:.4g}</td>", value)));
    CHECK(json["layers"][1]["measures"][name] == value);
  }
  // The last expert of the second layer dropped a quarter of its 100 of 601 assignments.
  CHECK_THAT(text, Catch::Contains("dropped 4.16%; by expert, 7: 25.0%"));
  CHECK_THAT(page, Catch::Contains("<td>25.00%</td>") && Catch::Contains("<td>4.16%</td>"));
  CHECK_THAT(page, Catch::Contains("Loss by drops"));
  CHECK(json["layers"][1]["dropped"][7].get<double>() == Approx(25.0 / 601));
  CHECK(json["layers"][0]["dropped_share"] == 0);
  CHECK_FALSE(json["layers"][0]["measures"].contains("only of some layers"));
  CHECK_THAT(page, Catch::Contains("<td>-</td></tr>"));
}
