#include "core/study/grid.h"

#include "core/base/error.h"
#include "tests/support/catch.h"

using namespace moe;

TEST_CASE("a grid has every combination of its values, and each has a name that is a file name") {
  const auto all = combinations({parse_grid_key("moe.router.k=1|2"), parse_grid_key("optimizer={kind: sgd}|adamw")});
  REQUIRE(all.size() == 4);
  CHECK(all[1] == Candidate{"moe.router.k=1", "optimizer=adamw"});
  CHECK(name_of(all[1]) == "k=1,optimizer=adamw");
  CHECK(name_of(all[2]) == "k=2,optimizer=-kind-sgd");
  CHECK(combinations({}).size() == 1);
}

TEST_CASE("a combination is written as nested YAML whose keys share their levels") {
  CHECK(yaml_of({"train.learning_rate.from=1e-3", "moe.router.k=2", "moe.router.jitter=0.1", "moe.experts=4", "seed=3",
                 "train.batch=4"}) ==
        "moe:\n  experts: 4\n  router:\n    jitter: 0.1\n    k: 2\nseed: 3\ntrain:\n  batch: 4\n  learning_rate:\n"
        "    from: 1e-3\n");
}

TEST_CASE("keys without values and members of lists are refused") {
  for (const char* wrong : {"moe.router.k", "=2", "moe.router.k=", "moe.balance.0.coefficient=1|2", "Moe.k=1"})
    CHECK_THROWS_AS(parse_grid_key(wrong), UsageError);
}
