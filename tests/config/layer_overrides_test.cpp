#include "core/config/layer_overrides.h"

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "core/config/config_reader.h"
#include "core/config/config_writer.h"
#include "core/config/train_config.h"
#include "tests/support/catch.h"

namespace moe::test {

namespace {

TrainConfig read(const std::string& yaml) {
  TrainConfig config;
  read_config(parse_config(yaml, "my.yaml"), config);
  return config;
}

std::string refusal(const std::string& yaml) {
  try {
    const TrainConfig config = read(yaml);
    moe_blocks(config.model, config.moe);
  } catch (const UsageError& error) {
    return error.what();
  }
  return "";
}

using Blocks = std::vector<int64_t>;

}  // namespace

TEST_CASE("blocks are named by number, range, last and lists of these") {
  CHECK(BlockRange("3").blocks(6) == Blocks{3});
  CHECK(BlockRange("0-2").blocks(6) == Blocks{0, 1, 2});
  CHECK(BlockRange("last").blocks(6) == Blocks{5});
  CHECK(BlockRange("4-last").blocks(6) == Blocks{4, 5});
  CHECK(BlockRange("0, 2-3,last").blocks(6) == Blocks{0, 2, 3, 5});
  for (const char* bad : {"", "a", "-1", "1-", "1--2", "first", "1.5", "0,,1", "0 1"}) {
    INFO(bad);
    CHECK_THROWS_AS(BlockRange(bad), UsageError);
  }
  for (const char* outside : {"6", "0-6", "3-2"}) {
    INFO(outside);
    CHECK_THROWS_AS(BlockRange(outside).blocks(6), UsageError);
  }
}

TEST_CASE("moe.layers overrides settings of single blocks, the later entry wins, key by key") {
  const TrainConfig config = read(
      "model: {layers: 5}\n"
      "moe:\n"
      "  experts: 8\n"
      "  router: {kind: topk, k: 3, jitter: 0.1}\n"
      "  layers:\n"
      "  - {at: 0-2, router: hash, experts: 4}\n"
      "  - {at: last, experts: 32, d_ff: 64, router: {k: 1}, balance: [z], shared_experts: 2, shared_gate: true}\n"
      "  - {at: 1, router: {k: 2}, capacity: 1.5}\n"
      "  - {at: 2-last, strategy: contrastive}\n");
  const std::map<int64_t, MoEConfig> blocks = moe_blocks(config.model, config.moe);
  REQUIRE(blocks.size() == 5);
  const auto options = [&](int64_t block) {
    MoEConfig copy = blocks.at(block);
    copy.layers.entries.clear();
    return write_yaml(copy, false);
  };
  CHECK(blocks.at(0).router.kind() == "hash");
  CHECK(blocks.at(0).experts == 4);
  CHECK(blocks.at(1).router.kind() == "hash");  // a map without a kind keeps the kind
  CHECK_THAT(options(1), Catch::Contains("k: 2"));
  CHECK(blocks.at(1).capacity.kind() == "fixed");
  CHECK(blocks.at(0).capacity.kind() == "dropless");
  CHECK(blocks.at(2).strategy.kind() == "contrastive");
  CHECK(blocks.at(3).experts == 8);
  CHECK(blocks.at(3).router.kind() == "topk");
  CHECK(blocks.at(3).balance.items().size() == 2);
  CHECK(blocks.at(4).experts == 32);
  CHECK(blocks.at(4).d_ff == 64);
  CHECK(blocks.at(4).shared_experts == 2);
  CHECK(blocks.at(4).shared_gate);
  CHECK_FALSE(blocks.at(3).shared_gate);
  CHECK(blocks.at(4).balance.items().size() == 1);
  CHECK_THAT(options(4), Catch::Contains("k: 1") && Catch::Contains("jitter: 0.1"));  // the other options stay
  CHECK(smallest_experts(config.model, config.moe) == 4);
  // Written and read again, it is the same.
  TrainConfig copy = config;
  const TrainConfig again = read(write_yaml(copy, false));
  for (const auto& [block, of_block] : moe_blocks(again.model, again.moe)) {
    MoEConfig one = of_block;
    CHECK(write_yaml(one, false) == options(block));
  }
}

TEST_CASE("mistakes in moe.layers are reported with file, line and key") {
  const auto with = [](const std::string& layers) {
    return refusal("model: {layers: 4}\nmoe:\n  layers:\n  - " + layers + "\n");
  };
  CHECK(with("{at: 3, experts: 4}").empty());
  CHECK_THAT(with("{at: 4, experts: 4}"), Catch::Contains("my.yaml:4: moe.layers.0.at '4'"));
  CHECK_THAT(with("{at: soon, experts: 4}"), Catch::Contains("my.yaml:4: moe.layers.0.at") && Catch::Contains("0-2"));
  CHECK_THAT(with("{experts: 4}"), Catch::Contains("moe.layers.0: expected a map with `at`"));
  CHECK_THAT(with("3"), Catch::Contains("moe.layers.0"));
  CHECK_THAT(with("{at: 1, experts: 0}"), Catch::Contains("moe.layers.0.experts '0': must be between 1"));
  CHECK_THAT(with("{at: 1, router: {k: 0}}"), Catch::Contains("moe.layers.0.router.k '0': must be between 1"));
  CHECK_THAT(with("{at: 1, router: {kk: 1}}"), Catch::Contains("unknown key 'moe.layers.0.router.kk'"));
  CHECK_THAT(with("{at: 1, router: topp}"), Catch::Contains("moe.layers.0.router 'topp'") && Catch::Contains("topk"));
  CHECK_THAT(with("{at: 1, exprts: 4}"), Catch::Contains("moe.layers.0.exprts") && Catch::Contains("experts"));
  CHECK_THAT(with("{at: 1, lifecycle: []}"),
             Catch::Contains("moe.layers.0.lifecycle") && Catch::Contains("single layers"));
  CHECK_THAT(refusal("model: {layers: 4, arrangement: dense_moe}\nmoe: {layers: [{at: 2, experts: 4}]}"),
             Catch::Contains("moe.layers.0.at '2'") && Catch::Contains("none of these blocks is MoE"));
  CHECK(refusal("model: {layers: 4, arrangement: dense_moe}\nmoe: {layers: [{at: 2-3, experts: 4}]}").empty());
}

}  // namespace moe::test
