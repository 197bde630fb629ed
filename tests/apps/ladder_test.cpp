// scripts/ladder, started as a user starts it.
#include <cmath>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "core/base/json_text.h"
#include "tests/apps/study_place.h"
#include "tests/support/catch.h"

using namespace moe;
namespace fs = std::filesystem;

namespace {

struct LadderPlace : StudyPlace {
  // moe-inspect ladder is tested elsewhere.
  LadderPlace() {
    folder = programs(":");
    fs::remove(folder + "/moe-inspect");
    write("bin/moe-inspect", "#!/bin/sh\n[ \"$1\" != ladder ] || { echo \"ladder of $2\"; exit 0; }\nexec " MOE_PROGRAMS
                             "/moe-inspect \"$@\"\n");
    fs::permissions(folder + "/moe-inspect", fs::perms::owner_all);
    write(
        "sizes.yaml",
        "rule: {model.d_model: w, moe.d_ff: w}\nsizes: [{name: large, w: 32}, {name: small, w: 16, moe.experts: 6}]\n");
  }
  Arguments command(const Arguments& options = {}) const {
    return Arguments{MOE_SCRIPTS "/ladder", "-q", "-o", runs(), "-s", "1 2", "-b", *this / "base.yaml"} + options +
           Arguments{*this / "one.yaml", *this / "other.yaml"};
  }
  Finished ladder(const Arguments& options = {}) const { return run_child(command(options), with_programs(folder)); }
  Json manifest(const std::string& run_name) const { return parse_json(read_file(run(run_name + "/manifest.json"))); }

  std::string folder;
};

}  // namespace

TEST_CASE("scripts/ladder compares at every size, the cheapest first, with equal tokens per active parameter") {
  const LadderPlace place;
  const Arguments sizes{"--sizes", place / "sizes.yaml"};
  const Finished made = place.ladder(sizes);
  INFO(made.err);
  REQUIRE(made.code == 0);
  CHECK_THAT(made.out, Catch::Contains("ladder of " + place.runs()));
  CHECK(made.err.find("size small") < made.err.find("size large"));
  CHECK_THAT(read_file(place.run("small/compare.txt")), Catch::Contains("2 configurations, 4 runs"));
  const Json small = place.manifest("small/one-seed1"), large = place.manifest("large/other-seed2");
  CHECK(small["updates"] == 20);  // as configured
  const double ratio =
      place.manifest("large/one-seed1")["active_parameters"].get<double>() / small["active_parameters"].get<double>();
  CHECK(large["updates"].get<double>() == std::round(20 * ratio));
  const Json plan = parse_json(read_file(place.run("ladder.json")));
  CHECK(plan["sizes"][0]["name"] == "small");
  CHECK(plan["sizes"][1]["steps"] == large["updates"]);

  // The same command goes on; a further, smaller size gets the same ratio.
  const Finished more = place.ladder(sizes + Arguments{"--size", "tiny:model.d_model=8,moe.d_ff=8"});
  INFO(more.err);
  CHECK(more.code == 0);
  CHECK(place.manifest("large/other-seed2") == large);
  const Json tiny = place.manifest("tiny/one-seed1");
  CHECK(tiny["updates"].get<double>() ==
        std::round(20 * tiny["active_parameters"].get<double>() / small["active_parameters"].get<double>()));
  CHECK(parse_json(read_file(place.run("ladder.json")))["sizes"].size() == 3);
}

TEST_CASE("two processes share a ladder") {
  const LadderPlace place;
  const Arguments command = place.command({"--sizes", place / "sizes.yaml", "--equal", "flops"});
  ChildProcess first(command, with_programs(place.folder)), second(command, with_programs(place.folder));
  const Finished a = first.wait(), b = second.wait();
  INFO(a.err << b.err);
  CHECK(a.code == 0);
  CHECK(b.code == 0);
  CHECK(fs::exists(place.run("large/other-seed2/manifest.json")));
  CHECK(parse_json(read_file(place.run("large/study.json")))["equal"] == "flops");
}

TEST_CASE("scripts/ladder refuses other sizes, rules and impossible models before it trains") {
  const LadderPlace place;
  const Arguments small{"--size", "small:model.d_model=16"};
  for (const auto& [options, words] : std::vector<std::pair<Arguments, std::string>>{
           {{}, "no sizes"},
           {{"--size", "a:model.d_model=15"}, "heads"},
           {small + small, "name is taken"},
           {small + Arguments{"--fixed-steps", "--tokens-per-parameter", "3"}, "excludes"}}) {
    const Finished refused = place.ladder(options);
    INFO(refused.err);
    CHECK(refused.code == 2);
    CHECK_THAT(refused.err, Catch::Contains(words));
    CHECK_FALSE(fs::exists(place.run("small")));
  }
  REQUIRE(place.ladder(small + Arguments{"--fixed-steps"}).code == 0);
  CHECK(place.manifest("small/one-seed1")["updates"] == 20);
  CHECK_THAT(place.ladder(small).err, Catch::Contains("another rule of steps"));
  CHECK_THAT(place.ladder({"--fixed-steps", "--size", "small:model.d_model=32"}).err, Catch::Contains("another name"));
}
