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

TEST_CASE("a bias of true or false stands for the whole group") {
  const auto check = [](const BiasConfig& bias, const std::string& attention, bool others) {
    CHECK(bias.attention == attention);
    CHECK(bias.feed_forward == others);
    CHECK(bias.head == others);
    CHECK(bias.router == others);
  };
  check(read("{}").bias, "none", false);
  check(read("{bias: false}").bias, "none", false);
  check(read("{bias: true}").bias, "none", true);
  check(read("{bias: Yes}").bias, "none", true);
  check(read("{bias: {attention: qkv}}").bias, "qkv", false);
  check(read("{bias: {attention: all, feed_forward: true, head: true, router: true}}").bias, "all", true);
  // Where layers of configurations meet, single keys keep the rest of what `true` means, and `true` replaces all keys.
  const auto layered = [](const char* base, const char* over) {
    ConfigNode root = parse_config(base, "base");
    merge_config(root, parse_config(over, "over"));
    ModelConfig config;
    read_config(root, config);
    return config.bias;
  };
  check(layered("{bias: true}", "{bias: {attention: qkv}}"), "qkv", true);
  check(layered("{bias: {attention: qkv}}", "{bias: true}"), "none", true);
  check(layered("{bias: {attention: qkv, head: true}}", "{bias: {head: false}}"), "qkv", false);
  ConfigNode root = parse_config("{bias: on}", "base");
  apply_override(root, "bias.attention=all");
  ModelConfig config;
  read_config(root, config);
  check(config.bias, "all", true);
}

TEST_CASE("other values in place of a group of switches are refused") {
  CHECK_THROWS_WITH(read("{bias: 1}"), Catch::Contains("bias '1': expected true, false or a group of keys"));
  CHECK_THROWS_WITH(read("{bias: [qkv]}"), Catch::Contains("expected true, false or a group of keys"));
  CHECK_THROWS_WITH(read("{bias: {kind: qkv}}"), Catch::Contains("unknown key 'bias.kind'"));
  CHECK_THROWS_WITH(read("{bias: {attention: true}}"), Catch::Contains("bias.attention 'true': expected one of"));
  CHECK_THROWS_WITH(read("{attention: true}"), Catch::Contains("attention 'true': expected a group of keys"));
}

}  // namespace moe::test
