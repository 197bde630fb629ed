// Runs with different settings per MoE layer (moe.layers), through all programs.
#include <string>

#include "core/base/json_text.h"
#include "tests/apps/programs.h"
#include "tests/support/catch.h"
#include "tests/support/child_process.h"
#include "tests/support/temporary_folder.h"

namespace moe::test {

TEST_CASE("a run whose layers differ trains, resumes with other ranks, is evaluated and inspected") {
  const TemporaryFolder folder;
  const Arguments differ = {
      "moe.layers=[{at: 0, router: {kind: hash, k: 2}, balance: []}, {at: last, experts: 6, d_ff: 8, router: {k: 1, "
      "softmax: all, renormalise: false}, capacity: 2}]",
      "moe.lifecycle=[{kind: grow, at: [8], factor: 1.5}]", "curriculum.sampler=buckets",
      "curriculum.signals={loss: 1, router_entropy: 1}"};
  // The number of experts of a hash router cannot grow: a dry run refuses it with the same message as training.
  const Finished refused = run_child(tiny_train(folder.path(), differ) + Arguments{"--dry-run"});
  CHECK(refused.code == 2);
  CHECK_THAT(refused.err, Catch::Contains("hash"));
  const Arguments grows = {
      differ[0].substr(0, differ[0].find("{at: 0")) + differ[0].substr(differ[0].find("{at: last")), differ[1],
      differ[2], differ[3]};
  const Finished planned = run_child(tiny_train(folder.path(), grows) + Arguments{"--dry-run"});
  INFO(planned.err);
  REQUIRE(planned.code == 0);
  CHECK_THAT(planned.out, Catch::Contains("4, 6 at first"));

  REQUIRE(run_child(tiny_train(folder.path(), grows + Arguments{"train.steps=5"})).code == 0);
  const Finished resumed =
      run_child(mpirun(2) + tiny_train(folder.path(), grows + Arguments{"train.steps=20", "train.extend=stretch"}));
  INFO(resumed.err);
  REQUIRE(resumed.code == 0);
  CHECK_THAT(resumed.err, Catch::Contains("4, 6 -> 6, 9 experts"));

  CHECK(run_child(program("moe-eval") + Arguments{folder / "run", "--split", "validation"}).code == 0);
  const Finished inspected = run_child(program("moe-inspect") + Arguments{folder / "run", "--json"});
  REQUIRE(inspected.code == 0);
  const auto json = parse_json(inspected.out);
  REQUIRE(json.at("layers").size() == 2);
  CHECK(json["layers"][0].at("experts") == 6);
  CHECK(json["layers"][1].at("experts") == 9);
  CHECK(json["layers"][0].at("experts_per_token") == 2);
  CHECK(json["layers"][1].at("experts_per_token") == 1);
  const Finished text = run_child(program("moe-inspect") + Arguments{folder / "run"});
  CHECK_THAT(text.out, Catch::Contains("2 MoE layers of 6, 9 experts, at most 2 per token"));
}

}  // namespace moe::test
