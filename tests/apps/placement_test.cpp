// parallel.placement through the programs: runs whose experts move between ranks, resumed, split otherwise, and
// without.
#include "core/checkpoint/checkpoint.h"
#include "tests/apps/compare_runs.h"
#include "tests/apps/programs.h"
#include "tests/support/catch.h"

using namespace moe;

static const Arguments kSkewed = {"moe.experts=6", "moe.balance=[]", "train.clip_norm=0",
                                  "moe.layers=[{at: last, experts: 4, capacity: 1.25}]"};

static Arguments placed(const char* kind) {
  return kSkewed + Arguments{std::string("parallel.placement={kind: ") + kind + ", every: 4}"};
}

TEST_CASE("a resumed run whose experts move is bitwise equal to an uninterrupted one", "[slow]") {
  for (const char* kind : {"load", "co_activation"}) {
    INFO(kind);
    TemporaryFolder straight, broken;
    const Arguments settings = placed(kind);
    done(mpirun(2) + tiny_train(straight.path(), settings));
    // Experts move at every fourth step: between two of these are the first checkpoints, and the last is at one of
    // them.
    for (const char* steps : {"train.steps=5", "train.steps=10", "train.steps=20"}) {
      done(mpirun(2) + tiny_train(broken.path(), settings + Arguments{steps}));
    }
    done(mpirun(2) + tiny_train(broken.path(), settings));
    CHECK(largest_difference(last_checkpoint(straight.path()), last_checkpoint(broken.path())) == 0);
    CHECK(metrics_difference(straight / "run", broken / "run") == "");
    const std::vector<Json> records = records_of(broken / "run", "placement");
    REQUIRE(records.size() == 7);
    for (size_t i = 0; i < 7; ++i) {
      CHECK(records[i].at("step").get<size_t>() == 4 * (i + 1));
      CHECK(records[i].at("kind") == kind);
      CHECK(records[i].at("updates") == 4);
      CHECK(records[i].at("layers").size() == 2);
    }
    CHECK(load_run_state(last_checkpoint(straight.path())).placement.at("updates") == 2);
  }
}

TEST_CASE("where the experts are does not change a run, on any number of ranks or with another placement", "[slow]") {
  TemporaryFolder contiguous;
  done(mpirun(2) + tiny_train(contiguous.path(), kSkewed));
  const std::string expected = last_checkpoint(contiguous.path());
  TemporaryFolder moving;
  done(mpirun(2) + tiny_train(moving.path(), placed("load")));
  // Without clipping, to which the norm contributes in another order, all bits are the same.
  CHECK(largest_difference(expected, last_checkpoint(moving.path())) == 0);
  struct Part {
    int ranks;
    Arguments settings;
    const char* steps;
  };
  const std::vector<std::vector<Part>> runs = {
      {{4, placed("load"), "10"}, {2, placed("load"), "18"}, {1, placed("load"), "24"}, {4, placed("load"), "30"}},
      {{2, kSkewed, "10"}, {2, placed("co_activation"), "18"}, {2, placed("load"), "24"}, {2, kSkewed, "30"}},
      {{4, placed("co_activation") + Arguments{"parallel.expert=2"}, "16"}, {4, placed("load"), "30"}}};
  for (const std::vector<Part>& parts : runs) {
    TemporaryFolder folder;
    for (const Part& part : parts) {
      done(mpirun(part.ranks) +
           tiny_train(folder.path(), part.settings + Arguments{std::string("train.steps=") + part.steps}));
    }
    CHECK(largest_difference(expected, last_checkpoint(folder.path()), false) < 1e-3);
    const double loss = records_of(contiguous / "run", "eval").back().at("loss").get<double>();
    CHECK(records_of(folder / "run", "eval").back().at("loss").get<double>() == Approx(loss).epsilon(1e-4));
  }
  done(program("moe-eval") + Arguments{moving / "run", "--split", "validation"});
}

// A run that was interrupted twice is the one that was not.
static void check_resumes_to_the_bit(const Arguments& settings) {
  TemporaryFolder straight, broken;
  done(mpirun(2) + tiny_train(straight.path(), settings));
  for (const char* steps : {"train.steps=10", "train.steps=20"}) {
    done(mpirun(2) + tiny_train(broken.path(), settings + Arguments{steps}));
  }
  done(mpirun(2) + tiny_train(broken.path(), settings));
  CHECK(largest_difference(last_checkpoint(straight.path()), last_checkpoint(broken.path())) == 0);
  CHECK(metrics_difference(straight / "run", broken / "run") == "");
}

static const Arguments kChanged = {
    "moe.layers=[]", "moe.lifecycle=[{kind: grow, at: [10], noise: 0.01}, {kind: restart, below: 0.5, for: 3}]"};

TEST_CASE("experts that are changed and placed in one run resume to the bit", "[slow]") {
  check_resumes_to_the_bit(placed("load") + kChanged);
}

TEST_CASE("a run with copies of experts resumes to the bit, and goes on with other ranks, fewer copies or none",
          "[slow]") {
  const auto with = [](int replicas) {
    return placed("load") + Arguments{fmt::format("parallel.replicas={}", replicas)};
  };
  TemporaryFolder contiguous, straight, broken, changed;
  done(mpirun(2) + tiny_train(contiguous.path(), kSkewed));
  const std::string expected = last_checkpoint(contiguous.path());
  done(mpirun(2) + tiny_train(straight.path(), with(2)));
  CHECK(largest_difference(expected, last_checkpoint(straight.path()), false) < 1e-3);
  for (const char* steps : {"train.steps=5", "train.steps=10", "train.steps=20"}) {
    done(mpirun(2) + tiny_train(broken.path(), with(2) + Arguments{steps}));
  }
  done(mpirun(2) + tiny_train(broken.path(), with(2)));
  CHECK(largest_difference(last_checkpoint(straight.path()), last_checkpoint(broken.path())) == 0);
  CHECK(metrics_difference(straight / "run", broken / "run") == "");
  double copies = 0;
  for (const Json& record : records_of(broken / "run", "placement")) {
    for (const Json& layer : record.at("layers")) copies += layer.at("copies").get<double>();
  }
  CHECK(copies > 0);
  struct Part {
    int ranks, replicas;
    const char* steps;
  };
  for (const Part& part :
       {Part{4, 2, "6"}, Part{2, 2, "14"}, Part{2, 1, "18"}, Part{4, 1, "22"}, Part{1, 1, "26"}, Part{2, 0, "30"}}) {
    done(mpirun(part.ranks) +
         tiny_train(changed.path(), with(part.replicas) + Arguments{std::string("train.steps=") + part.steps}));
  }
  CHECK(largest_difference(expected, last_checkpoint(changed.path()), false) < 1e-3);
  const double loss = records_of(contiguous / "run", "eval").back().at("loss").get<double>();
  for (const TemporaryFolder* folder : {&straight, &changed}) {
    CHECK(records_of(*folder / "run", "eval").back().at("loss").get<double>() == Approx(loss).epsilon(1e-4));
  }
  done(program("moe-eval") + Arguments{straight / "run", "--split", "validation"});
}

TEST_CASE("experts that are changed, placed and copied in one run resume to the bit", "[slow]") {
  check_resumes_to_the_bit(placed("load") + kChanged + Arguments{"parallel.replicas=1"});
}

TEST_CASE("one rank has nothing to place, and a placement that never happens is refused", "[slow]") {
  TemporaryFolder folder;
  const Finished alone = done(tiny_train(folder.path(), placed("load") + Arguments{"parallel.replicas=1"}));
  CHECK_THAT(alone.out + alone.err, Catch::Contains("experts are not moved or copied"));
  CHECK(records_of(folder / "run", "placement").empty());
  TemporaryFolder other;
  const Finished refused =
      run_child(tiny_train(other.path(), {"parallel.placement={kind: load, every: 0}"}) + Arguments{"--dry-run"});
  CHECK(refused.code == 2);
  CHECK_THAT(refused.err, Catch::Contains("parallel.placement.every"));
  const Finished planned = done(tiny_train(other.path(), placed("load") + Arguments{"parallel.replicas=1"}) +
                                Arguments{"--dry-run", "--ranks", "2"});
  CHECK_THAT(planned.out, Catch::Contains("copies of experts"));
  const Finished unmeasured = run_child(tiny_train(other.path(), {"parallel.replicas=1"}) + Arguments{"--dry-run"});
  CHECK(unmeasured.code == 2);
  CHECK_THAT(unmeasured.err, Catch::Contains("parallel.replicas"));
}
