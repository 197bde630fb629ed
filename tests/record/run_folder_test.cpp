#include "core/record/run_folder.h"

#include "core/base/error.h"
#include "core/config/config_writer.h"
#include "core/config/field_walker.h"
#include "tests/support/catch.h"

using namespace moe;

TEST_CASE("keys that shape a model may not be changed when a run goes on, and keys of its training may") {
  for (const char* key : {"train.learning_rate", "train.learning_rate.from", "train.batch", "optimizer",
                          "optimizer.weight_decay", "data.path", "model.dropout", "model.attention.dropout",
                          "moe.balance", "moe.balance.0.coefficient", "train.steps", "evaluate.every", "log.every"}) {
    INFO(key);
    CHECK_FALSE(why_fixed(key));
  }
  for (const char* key : {"model", "model.d_model", "model.dropouts", "moe.experts", "moe.router.k", "moe", "task",
                          "optimizer.kind", "data.sequence", "seed", "curriculum.sampler", "init.from", "train", ""}) {
    INFO(key);
    CHECK(why_fixed(key));
  }
}

TEST_CASE("every key of a configuration either may be changed or has a reason why not") {
  // A new group of keys must be added to the rules.
  class Visitor : public FieldWalker {
    void group(const char* name, FieldSet&, const char*) override {
      INFO(name);
      if (may_differ(key(name) + ".x")) return;
      const auto why = why_fixed(key(name) + ".x");
      if (why) CHECK(*why != "it is no key that a run may go on with another value of");
    }
  };
  TrainConfig config;
  Visitor().enter("", config);
}

TEST_CASE("the name of a run stays below the folder of runs") {
  TrainConfig config;
  for (const char* name : {"a", "a/b", "a..b", "...", "Größe", "a b", "\xff"}) {
    config.name = name;
    CHECK(RunFolder(config).path() == "runs/" + config.name);
  }
  for (const char* name : {"", ".", "..", "/", "/a", "a/", "a//b", "../a", "a/..", "a/../b", "a\nb", "a\tb", "\x7f"}) {
    config.name = name;
    CHECK_THROWS_AS(RunFolder(config), UsageError);
  }
}
