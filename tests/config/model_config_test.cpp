#include "core/config/model_config.h"

#include "core/config/config_reader.h"
#include "tests/support/catch.h"

namespace moe::test {

static ModelConfig read(const std::string& yaml) {
  ModelConfig config;
  read_config(parse_config(yaml, "test"), config);
  return config;
}

TEST_CASE("arrangements determine which blocks are MoE") {
  using Flags = std::vector<bool>;
  CHECK(read("{layers: 3, arrangement: switch}").moe_layers() == Flags{true, true, true});
  CHECK(read("{layers: 4, arrangement: glam}").moe_layers() == Flags{true, false, true, false});
  CHECK(read("{layers: 4, arrangement: dense_moe}").moe_layers() == Flags{false, true, false, true});
  CHECK(read("{layers: 2, arrangement: dense}").moe_layers() == Flags{false, false});
  CHECK(read("{layers: 2, arrangement: moe}").moe_layers() == Flags{true, true});
  CHECK(read("{layers: 1, arrangement: moe}").moe_layers() == Flags{true});
  CHECK(read("{layers: 1, arrangement: glam}").moe_layers() == Flags{true});
  CHECK(read("{layers: 1, arrangement: dense_moe}").moe_layers() == Flags{false});
  CHECK(read("{layers: 3, arrangement: [dense, moe, dense]}").moe_layers() == Flags{false, true, false});
}

TEST_CASE("invalid arrangements are refused") {
  CHECK_THROWS_WITH(read("{layers: 3, arrangement: [dense, moe]}").moe_layers(),
                    Catch::Contains("2") && Catch::Contains("3"));
  CHECK_THROWS_WITH(read("{layers: 1, arrangement: [sparse]}").moe_layers(), Catch::Contains("sparse"));
  CHECK_THROWS_AS(read("{layers: 2, arrangement: [switch, moe]}").moe_layers(), UsageError);
  CHECK_THROWS_AS(read("{layers: 2, arrangement: []}").moe_layers(), UsageError);
}

TEST_CASE("default widths are derived from d_model") {
  CHECK(read("{d_model: 96}").dense_d_ff() == 256);
  CHECK(read("{d_model: 100}").dense_d_ff() == 272);  // 266 rounded up
  CHECK(read("{d_model: 96, activation: gelu_tanh}").dense_d_ff() == 384);
  CHECK(read("{d_model: 96, d_ff: 17}").dense_d_ff() == 17);
  CHECK(read("{d_model: 96, attention: {heads: 6}}").d_head() == 16);
  CHECK(read("{d_model: 96, attention: {heads: 6}}").kv_heads() == 6);
  CHECK(read("{attention: {heads: 6, kv_heads: 2, d_head: 5}}").d_head() == 5);
}

}  // namespace moe::test
