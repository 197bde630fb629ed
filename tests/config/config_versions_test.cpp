#include "core/config/config_versions.h"

#include "core/base/error.h"
#include "core/config/config_reader.h"
#include "core/config/config_writer.h"
#include "core/config/train_config.h"
#include "tests/support/catch.h"
#include "tests/support/forms.h"
#include "tests/support/tiny_run.h"

using namespace moe;

// The effective configuration as YAML, one key per line.
static std::string effective(const std::string& yaml) {
  TrainConfig config = config_from(yaml);
  return write_yaml(config, false);
}

TEST_CASE("new configurations have the sources' forms, those of version 1 ours") {
  for (const auto& [family, forms] :
       {std::pair("router", test::forms_of<Router>()), {"balance", test::forms_of<BalanceLoss>()}}) {
    for (const test::Form& form : forms) {
      INFO(form.kind);
      if (form.key != "form") continue;
      for (const char* shape : {"{}", "{{kind: {}}}"}) {
        const std::string member = fmt::format(fmt::runtime(shape), form.kind);
        const std::string moe =
            family == std::string("balance") ? "balance: [" + member + "], router: sigmoid_bias" : "router: " + member;
        CHECK(effective("{moe: {" + moe + "}}").find("form: source") != std::string::npos);
        CHECK(effective("{config_version: 1, moe: {" + moe + "}}").find("form: ours") != std::string::npos);
      }
    }
  }
  TrainConfig given = config_from("{config_version: 1, moe: {router: {kind: stable, form: source}}}");
  CHECK(ConfigNode(parse_config(write_yaml(given, false), "test")).find("moe")->find("router")->find("form")->scalar ==
        "source");
}

TEST_CASE("an old configuration is understood in every place where a member may stand") {
  const std::string text = effective(
      "{config_version: 1, moe: {strategy: {kind: hierarchical, group_router: relu, group_balance: [sequence]}, "
      "balance: "
      "[{kind: sequence, coefficient: 0.5}, z], layers: [{at: 0, router: stable}]}}");
  size_t ours = 0;
  for (size_t at = text.find("form: ours"); at != std::string::npos; at = text.find("form: ours", at + 1)) ++ours;
  CHECK(ours == 4);
  CHECK(text.find("form: source") == std::string::npos);
}

TEST_CASE("a second reading of what was written for an old configuration changes nothing") {
  const std::string once =
      effective("{config_version: 1, model: {arrangement: glam, layers: 4}, moe: {router: hyper}}");
  CHECK(once.find("config_version: 1") != std::string::npos);
  CHECK(once.find("embedding: 64") != std::string::npos);
  CHECK(effective(once) == once);
}

TEST_CASE("glam began with a dense block in version 1, and begins with an MoE block now") {
  using Flags = std::vector<bool>;
  CHECK(config_from("{model: {arrangement: glam, layers: 3}}").model.moe_layers() == Flags{true, false, true});
  for (const char* arrangement : {"glam", "[glam]", "dense_moe"}) {
    INFO(arrangement);
    CHECK(config_from(fmt::format("{{config_version: 1, model: {{arrangement: {}, layers: 3}}}}", arrangement))
              .model.moe_layers() == Flags{false, true, false});
  }
}

TEST_CASE("gelu is another name of gelu_tanh in every version") {
  for (const char* version : {"1", "2"}) {
    CHECK(config_from(fmt::format("{{config_version: {}, model: {{activation: gelu}}}}", version)).model.activation ==
          "gelu_tanh");
  }
}

TEST_CASE("a q/k norm of true or false is one of its words") {
  const auto qk_norm = [](const char* value) {
    return config_from(fmt::format("{{model: {{attention: {{qk_norm: {}}}}}}}", value)).model.attention.qk_norm;
  };
  for (const char* on : {"true", "True", "yes", "on", "head"}) CHECK(qk_norm(on) == "head");
  for (const char* off : {"false", "no", "off", "none"}) CHECK(qk_norm(off) == "none");
  CHECK(qk_norm("full") == "full");
  CHECK_THROWS_WITH(qk_norm("1"), Catch::Contains("model.attention.qk_norm '1': expected one of: none, head, full"));
  ConfigNode root;
  apply_override(root, "model.attention.qk_norm=true");
  TrainConfig config;
  read_config(root, config);
  CHECK(config.model.attention.qk_norm == "head");
}

TEST_CASE("a stored configuration without a version has version 1, and one that does not exist is refused") {
  ConfigNode stored = parse_config("{moe: {router: relu}}", "test"),
             marked = parse_config("{config_version: 2}", "test");
  mark_stored(stored);
  mark_stored(marked);
  CHECK(stored.find("config_version")->scalar == "1");
  CHECK(marked.find("config_version")->scalar == "2");
  CHECK_THROWS_AS(config_from("{config_version: 0}"), UsageError);
  CHECK_THROWS_AS(config_from("{config_version: 3}"), UsageError);
}
