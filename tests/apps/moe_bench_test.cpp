#include "core/base/json_text.h"
#include "tests/apps/programs.h"
#include "tests/support/catch.h"

using namespace moe;

TEST_CASE("the peak resident size is within 1.3 times the planned memory", "[slow]") {
  const Finished result = run_child(program("moe-bench") + Arguments{"step", "-c", MOE_CONFIGS "/bench/cpu_small.yaml",
                                                                     "--steps", "1", "--warmup", "1"});
  INFO(result.err);
  REQUIRE(result.code == 0);
  const auto json = parse_json(result.out);
  INFO(result.out);
  CHECK(json.at("peak_bytes").get<double>() < 1.3 * json.at("planned_bytes").get<double>());
  CHECK(json.at("peak_bytes").get<double>() > 0.5 * json.at("planned_bytes").get<double>());
}
