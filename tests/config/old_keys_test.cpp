#include "core/config/old_keys.h"

#include "core/base/error.h"
#include "core/config/config_reader.h"
#include "core/config/config_writer.h"
#include "core/config/train_config.h"
#include "tests/support/catch.h"
#include "tests/support/tiny_run.h"

using namespace moe;

TEST_CASE("a renamed key is read under its old name, in files, on the command line and inside values") {
  for (const char* text : {"{moe: {life: [{kind: restart}]}}", "{moe: {lifecycle: [{kind: restart}]}}"}) {
    INFO(text);
    CHECK(config_from(text).moe.lifecycle.items().size() == 1);
  }
  for (const char* assignment : {"moe.life=[{kind: restart}]", "moe={life: [{kind: restart}]}"}) {
    INFO(assignment);
    ConfigNode root;
    apply_override(root, assignment);
    TrainConfig config;
    read_config(root, config);
    CHECK(config.moe.lifecycle.items().size() == 1);
  }
  ConfigNode root = parse_config("{moe: {lifecycle: [{kind: restart}]}}", "test");
  apply_override(root, "moe.life.0.below=0.125");
  TrainConfig config;
  read_config(root, config);
  CHECK(config.moe.lifecycle.items()[0].options().where("below").find("moe.lifecycle.0.below") != std::string::npos);
}

TEST_CASE("the help of a renamed key is that of its present name") {
  TrainConfig config;
  CHECK(describe_key(config, "moe.life") == describe_key(config, "moe.lifecycle"));
}

TEST_CASE("a key under its old and its present name at once is refused") {
  CHECK_THROWS_WITH(config_from("{moe: {life: [], lifecycle: []}}"),
                    Catch::Contains("moe.life is the old name of moe.lifecycle"));
}
