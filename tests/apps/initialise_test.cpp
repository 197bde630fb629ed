// init.clusters and init.reptile through the programs.

#include "core/base/json.h"
#include "core/checkpoint/checkpoint.h"
#include "tests/apps/compare_runs.h"
#include "tests/apps/programs.h"
#include "tests/support/catch.h"

using namespace moe;

static std::vector<Json> init_records(const std::string& run) {
  std::vector<Json> records;
  for (const Json& record : comparable_metrics(run)) {
    if (record.at("type") == "init") records.push_back(record);
  }
  return records;
}

static const Arguments kBeginning = {"init.clusters.tokens=256", "init.clusters.experts=tokens",
                                     "init.reptile.rounds=2", "init.reptile.domains=3", "train.steps=10"};

TEST_CASE("a run that starts with clusters and Reptile reports on them exactly once", "[slow]") {
  TemporaryFolder straight, broken, shared;
  const Finished run = done(tiny_train(straight.path(), kBeginning));
  CHECK_THAT(run.err, Catch::Contains("clusters of"));
  CHECK_THAT(run.err, Catch::Contains("Reptile on"));
  const auto records = init_records(straight / "run");
  REQUIRE(records.size() == 3);  // two layers, and Reptile
  CHECK(records[0].at("kind") == "clusters");
  CHECK(records[1].at("sizes").size() == 4);
  CHECK(records[2].at("tokens").get<double>() > 0);
  done(program("moe-inspect") + Arguments{straight / "run"});

  done(tiny_train(broken.path(), kBeginning + Arguments{"train.steps=5"}));
  const Finished resumed = done(tiny_train(broken.path(), kBeginning) + Arguments{"--resume", "must"});
  CHECK_THAT(resumed.err, !Catch::Contains("Reptile on"));
  CHECK(largest_difference(find_checkpoint(straight / "run", "last"), find_checkpoint(broken / "run", "last")) == 0);
  CHECK(init_records(broken / "run").size() == 3);

  done(mpirun(2) + tiny_train(shared.path(), kBeginning));
  CHECK(init_records(shared / "run")[0].at("sizes") == records[0].at("sizes"));
  const double loss = comparable_metrics(straight / "run").back().at("loss");
  CHECK(comparable_metrics(shared / "run").back().at("loss").get<double>() == Approx(loss).epsilon(1e-3));
}

TEST_CASE("an upcycled run can choose the re-drawn units by clusters", "[slow]") {
  TemporaryFolder dense, upcycled;
  done(tiny_train(dense.path(), {"model.d_ff=16", "model.arrangement=dense"}));
  const Arguments start{"model.d_ff=16", "train.steps=1", "init.from=" + (dense / "run"), "init.reinitialise=0.5",
                        "init.clusters.tokens=256"};
  const Finished run = done(tiny_train(upcycled.path(), start));
  CHECK_THAT(run.err, Catch::Contains("dense feed-forward layers") && Catch::Contains("clusters of"));
}

TEST_CASE("invalid initialisations are refused", "[slow]") {
  TemporaryFolder folder;
  const auto refused = [&](const Arguments& settings, const std::string& why) {
    const Finished run = run_child(tiny_train(folder.path(), settings));
    INFO(run.err);
    CHECK(run.code == 2);
    CHECK_THAT(run.err, Catch::Contains(why));
  };
  refused({"init.clusters.tokens=256", "moe.router=hash"}, "cannot be used with router hash");
  refused({"init.clusters.tokens=2"}, "2 tokens for 4 experts");
  refused({"init.reptile.rounds=1", "init.reptile.domains=60000"}, "60000 domains");
}
