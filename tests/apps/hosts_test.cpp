// Several hosts, which scripts/with_hosts makes up from network namespaces. Only root can make them.
#include <unistd.h>

#include <fstream>

#include "core/base/json_text.h"
#include "core/base/text.h"
#include "tests/apps/programs.h"
#include "tests/support/catch.h"

using namespace moe;

namespace {

// A run of two ranks on two hosts, one on each.
struct TwoHosts {
  explicit TwoHosts(const TemporaryFolder& folder, const Arguments& more)
      : name("moe" + std::to_string(getpid())),
        child(Arguments{MOE_SCRIPTS "/with_hosts", "--name", name, "2", MPIRUN, "--host", name + "-0," + name + "-1",
                        "-n", "2"} +
              tiny_train(folder.path(), more)) {}
  // Whether the job runs; false where hosts cannot be made up.
  bool starts() {
    if (child.wait_for("step")) return true;
    const Finished finished = child.wait();
    INFO(finished.err);
    REQUIRE(finished.code == 77);
    WARN("not tested: no hosts can be made up here");
    return false;
  }
  void set_link(const char* state) const {
    done({"/bin/sh", "-c", fmt::format("exec ip -n {}-1 link set eth0 {}", name, state)});
  }
  // Sends a signal to the processes of the second host: to the rank, or to all, as when a host dies.
  void signal_second(const char* signal, bool all) const {
    done({"/bin/sh", "-c",
          fmt::format("for p in $(ip netns pids {}-1); do {} kill -{} $p; done", name,
                      all ? "" : "[ \"$(cat /proc/$p/comm)\" = moe-train ] || continue;", signal)});
  }
  std::string name;
  ChildProcess child;
};

Arguments quoted(Arguments words) {
  for (std::string& word : words) word = "'" + word + "'";
  return words;
}

}  // namespace

TEST_CASE("a cut link ends the job with the name of the host that no longer answers", "[slow]") {
  const TemporaryFolder folder;
  TwoHosts job(folder, {"train.steps=100000000", "parallel.timeout=5", "log.every=1000"});
  if (!job.starts()) return;
  job.set_link("down");
  const Finished finished = job.child.wait();
  INFO(finished.err);
  CHECK(finished.code != 0);
  CHECK_THAT(finished.err, Catch::Contains("host " + job.name + "-1 (rank 1) has not answered for 5 seconds"));
}

TEST_CASE("a link that is down for a while does not end a job, and neither does a stopped rank", "[slow]") {
  const TemporaryFolder folder;
  TwoHosts job(folder, {"train.steps=600", "log.every=100", "parallel.timeout=5"});
  if (!job.starts()) return;
  job.set_link("down");
  sleep(2);
  job.set_link("up");
  job.signal_second("STOP", false);
  sleep(7);
  job.signal_second("CONT", false);
  const Finished finished = job.child.wait();
  INFO(finished.err);
  CHECK(finished.code == 0);
}

TEST_CASE("a stopped rank ends the job where that is asked for", "[slow]") {
  const TemporaryFolder folder;
  TwoHosts job(folder,
               {"train.steps=100000000", "parallel.timeout=5", "parallel.end_if_stopped=true", "log.every=1000"});
  if (!job.starts()) return;
  job.signal_second("STOP", false);
  const Finished finished = job.child.wait();
  INFO(finished.err);
  CHECK(finished.code != 0);
  CHECK_THAT(finished.err, Catch::Contains("rank 1 (host " + job.name + "-1) has given no sign of life for 5 seconds"));
}

TEST_CASE("a killed rank ends the job with its number", "[slow]") {
  const TemporaryFolder folder;
  TwoHosts job(folder, {"train.steps=100000000", "log.every=1000"});
  if (!job.starts()) return;
  job.signal_second("KILL", false);
  const Finished finished = job.child.wait();
  INFO(finished.err);
  CHECK(finished.code != 0);
  // mpirun may end the other rank before it reports, and names the lost one itself then.
  CHECK_THAT(finished.err, Catch::Contains("rank 1"));
}

TEST_CASE("a job whose host was killed goes on, on other hosts and another number of them", "[slow]") {
  const TemporaryFolder folder;
  const Arguments settings{"log.every=100", "checkpoint.every=50", "evaluate.every=0"};
  TwoHosts job(folder, settings + Arguments{"train.steps=100000000"});
  if (!job.starts()) return;
  REQUIRE(job.child.wait_for("step    100/"));  // the checkpoint of step 50 is complete
  job.signal_second("KILL", true);
  const Finished finished = job.child.wait();
  INFO(finished.err);
  CHECK(finished.code != 0);
  CHECK_THAT(finished.err, Catch::Contains("rank 1 (host " + job.name + "-1) has ended without a word"));
  const std::string name = job.name + "b";
  const Finished again =
      run_child(Arguments{MOE_SCRIPTS "/with_hosts", "--name", name, "3", MPIRUN, "--host",
                          name + "-0," + name + "-1," + name + "-2", "-n", "3"} +
                tiny_train(folder.path(), settings + Arguments{"train.steps=100000000", "train.time_limit=3s"}) +
                Arguments{"--resume", "must"});
  INFO(again.err);
  CHECK(again.code == 143);
  CHECK_THAT(again.err, Catch::Contains("3 ranks"));
}

TEST_CASE("ranks that are given different things end at once, and name rank, host and key") {
  const TemporaryFolder folder;
  struct Case {
    const char *mine, *theirs, *key;
  };
  for (const Case& c : {Case{"train.learning_rate=0.01", "train.learning_rate=0.02", "train.learning_rate.value"},
                        Case{"train.steps=20", "train.steps=30", "train.steps"},
                        Case{"checkpoint.every=5", "checkpoint.every=7", "checkpoint.every"},
                        Case{"parallel.expert=1", "parallel.expert=2", "parallel.expert"},
                        Case{"seed=1", "config_version=1", "config_version"},
                        Case{"data.synthetic.seed=1", "data.synthetic.seed=2", "data.synthetic.seed"}}) {
    INFO(c.key);
    // A shell on each rank chooses by rank.
    const auto words = [&](const char* setting) { return join(quoted(tiny_train(folder.path(), {setting})), " "); };
    const Finished finished = run_child(
        mpirun(2) + Arguments{"/bin/sh", "-c",
                              fmt::format("if [ \"$OMPI_COMM_WORLD_RANK\" = 0 ]; then exec {}; else exec {}; fi",
                                          words(c.mine), words(c.theirs))});
    INFO(finished.err);
    CHECK(finished.code == 2);
    CHECK_THAT(finished.err, Catch::Contains("the ranks were not given the same configuration") &&
                                 Catch::Contains(std::string(c.key) + ": ") && Catch::Contains("on rank 1 (host "));
  }
}

TEST_CASE("ranks of two hosts share the experts within a host, and train as on one host") {
  const TemporaryFolder folder;
  const Arguments settings{"train.steps=10", "log.every=10", "optimizer.shard=true", "parallel.bucket=500"};
  const auto train = [&](const char* name, const Arguments& more) {
    return tiny_train(folder.path(), settings + more + Arguments{fmt::format("name={}", name)});
  };
  const std::string name = "moe" + std::to_string(getpid());
  const Finished two = run_child(Arguments{MOE_SCRIPTS "/with_hosts", "--name", name, "--rate", "1gbit", "2", MPIRUN,
                                           "--host", name + "-0:2," + name + "-1:2", "-n", "4"} +
                                 train("two", {}));
  INFO(two.err);
  if (two.code == 77) {
    WARN("not tested: no hosts can be made up here");
    return;
  }
  REQUIRE(two.code == 0);
  CHECK_THAT(two.out + two.err, Catch::Contains("expert parallel 2"));
  const Finished one = run_child(mpirun(4) + train("one", {"parallel.expert=2"}));
  INFO(one.err);
  REQUIRE(one.code == 0);
  const auto last = [&](const char* run) {
    std::ifstream file(folder / fmt::format("{}/metrics.jsonl", run));
    Json found;
    for (std::string line; std::getline(file, line);) {
      const Json record = parse_json(line);
      if (record.at("type") == "train") found = record;
    }
    return found;
  };
  CHECK(last("two").at("step") == 10);
  CHECK(last("two").at("loss").get<double>() == Approx(last("one").at("loss").get<double>()).epsilon(1e-6));
}
