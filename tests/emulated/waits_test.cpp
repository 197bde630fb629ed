// Number of times that the host synchronises with the device in an update: not once per layer and sum.
#include "tests/emulator/waits.h"
#include "core/tensor/device.h"
#include "tests/support/catch.h"
#include "tests/support/tiny_run.h"

namespace moe::test {

static int64_t waits_of_an_update(int layers, const std::string& moe, int sequences = 2) {
  const TrainConfig config = config_from(
      fmt::format("{{model: {{layers: {}, d_model: 16, attention: {{heads: 2}}}}, moe: {{experts: 4, d_ff: 16, {}}}, "
                  "data: {{sequence: 16}}, train: {{batch: {}}}}}",
                  layers, moe, sequences));
  TinyRun run(config, 29, ProcessGroups::single(), DType::bf16, Device::cuda);
  const RandomBatch batch(config, 29, 1);
  run.run(batch, 0, 1e-3);
  const int64_t before = emulator::waits;
  run.run(batch, 1, 1e-3);
  return emulator::waits - before;
}

TEST_CASE("sums of sequences need one synchronisation together") {
  const std::string moe = "balance: [{kind: switch, scope: sequence}]";
  CHECK(waits_of_an_update(3, moe, 2) == waits_of_an_update(3, moe, 6));
}

TEST_CASE("the number of synchronisations of an update does not depend on its layers") {
  for (const char* moe :
       {"router: topk", "router: topk, balance: [switch, z, importance, gshard, entropy]",
        "router: {kind: noisy_topk}, balance: [load]", "router: relu", "router: expert_choice",
        "strategy: {kind: compete, probability: 1}", "strategy: stochastic", "strategy: hierarchical"}) {
    INFO(moe);
    const int64_t waits = waits_of_an_update(1, moe);
    CHECK(waits_of_an_update(4, moe) == waits);
    CHECK(waits <= 4);  // one each for sums, losses and norm
  }
}

}  // namespace moe::test
