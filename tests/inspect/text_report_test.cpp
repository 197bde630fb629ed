#include <algorithm>

#include "core/base/json_text.h"
#include "core/base/text.h"
#include "core/inspect/json_report.h"
#include "core/inspect/text_report.h"
#include "tests/inspect/sample_inspection.h"
#include "tests/support/catch.h"

using namespace moe;

// Number of characters of a line of UTF-8.
static size_t columns(const std::string& line) {
  return static_cast<size_t>(
      std::count_if(line.begin(), line.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

TEST_CASE("the table fits 80 columns with any number of experts and layers") {
  for (const int64_t experts : {1, 2, 4, 7, 8, 16, 17, 32, 64, 65, 100, 256}) {
    for (const std::string& line : split(text_report(sample_inspection(3, experts), false), '\n')) {
      INFO(experts << ": " << line);
      CHECK(columns(line) <= 80);
    }
  }
}

TEST_CASE("colour only if requested; dead experts are marked") {
  const Inspection i = sample_inspection();
  CHECK(text_report(i, false).find('\x1b') == std::string::npos);
  CHECK(text_report(i, true).find("\x1b[31m") != std::string::npos);
  CHECK_THAT(text_report(i, false), Catch::Contains("×"));
}

TEST_CASE("JSON parses and agrees with the table") {
  const Inspection i = sample_inspection(2, 8);
  const std::string text = text_report(i, false);
  const auto json = parse_json(json_text(json_report(i)));
  CHECK(json["schema"] == kInspectionSchema);
  CHECK(json["step"] == 100);
  CHECK(json["dead"] == 2);
  CHECK(json["nearly_dead"] == 2);
  CHECK_THAT(text, Catch::Contains(fmt::format("bpc {:.4f}", json["evaluation"]["bpc"].get<double>())));
  CHECK_THAT(text, Catch::Contains(fmt::format("best evaluation of the run: bpc {:.4f} at step {}",
                                               json["history"]["best"]["bpc"].get<double>(),
                                               json["history"]["best"]["step"].get<int>())));
  REQUIRE(json["layers"].size() == 2);
  for (const auto& layer : json["layers"]) {
    double load = 0, importance = 0;
    for (const auto& x : layer["load"]) load += x.get<double>();
    for (const auto& x : layer["importance"]) importance += x.get<double>();
    CHECK(load == Approx(1));
    CHECK(importance == Approx(1));
    const std::string row = fmt::format(
        "{:>5} {:>8.2f} {:>8.2f} {:>6.2f} {:>7.3f} {:>7.3f} {:>5} {:>5} {:>6.3g} {:>6.3g} {:>6.3g}",
        layer["layer"].get<int>(), layer["max_over_mean"].get<double>(), layer["min_over_mean"].get<double>(),
        layer["cv"].get<double>(), layer["load_entropy"].get<double>(), layer["router_entropy"].get<double>(),
        layer["dead"].get<int>(), layer["nearly_dead"].get<int>(), layer["input_norm"][0].get<double>(),
        layer["output_norm"][0].get<double>(), layer["router_norm"][0].get<double>());
    CHECK_THAT(text, Catch::Contains(row));
  }
}

TEST_CASE("a model without MoE layers, and values that are NaN") {
  Inspection i = sample_inspection(0);
  i.evaluation.raw_bytes.reset();
  i.history = {};
  CHECK_THAT(text_report(i, false), Catch::Contains("no MoE layers"));
  const auto json = parse_json(json_text(json_report(i)));
  CHECK(json["layers"].empty());
  CHECK(json["history"]["best"].is_null());
}
