// The profile of communication and plans for a cluster, through the programs.
#include <fstream>
#include <iterator>
#include <map>

#include "core/base/json_text.h"
#include "core/plan/network.h"
#include "tests/apps/compare_runs.h"
#include "tests/apps/programs.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"

using namespace moe;

TEST_CASE("a run on two ranks records what they send, without another bit in its weights", "[slow]") {
  TemporaryFolder with, without;
  const Finished run = done(mpirun(2) + tiny_train(with.path(), {"log.communication=10"}));
  done(mpirun(2) + tiny_train(without.path()));
  CHECK(largest_difference(last_checkpoint(with.path()), last_checkpoint(without.path())) == 0);
  CHECK(records_of(without / "run", "communication").empty());

  const std::vector<Json> records = records_of(with / "run", "communication");
  REQUIRE(records.size() == 3);
  for (size_t i = 0; i < 3; ++i) {
    CHECK(records[i].at("step").get<size_t>() == 10 * (i + 1));
    CHECK(records[i].at("ranks") == 2);
    CHECK(records[i].at("seconds").get<double>() > 0);
    std::map<std::string, int64_t> bytes;
    for (const Json& row : records[i].at("rows")) {
      bytes[row.at("kind").get<std::string>()] += row.at("bytes_inside").get<int64_t>();
      CHECK(row.at("bytes_between") == 0);
    }
    // As many gradients in every update.
    CHECK(bytes.at("gradients") > 0);
    CHECK(bytes.at("dispatch") > 0);
    CHECK(bytes.at("combine") > 0);
    CHECK(bytes.count("weights") == 0);
  }
  CHECK(records_of(with / "run", "timeline").size() == 2);  // of the first and of the last recorded update
  CHECK_THAT(run.out + run.err, Catch::Contains("Communication of 3 recorded updates"));

  const Finished report = done(program("moe-inspect") + Arguments{with / "run"});
  CHECK_THAT(report.out, Catch::Contains("communication of step 30"));
  std::ifstream page(with / "run/report.html");
  const std::string html{std::istreambuf_iterator<char>(page), std::istreambuf_iterator<char>()};
  CHECK_THAT(html, Catch::Contains("Update 30 of rank 0"));
}

TEST_CASE("the speed of links and of computing is measured into one file, by which ranks wait and a step is planned",
          "[slow]") {
  TemporaryFolder folder;
  const std::string network = folder / "network.yaml";
  const Arguments shape =
      settings({"model.layers=1", "model.d_model=32", "model.attention.heads=2", "moe.experts=6", "moe.d_ff=32",
                "moe.router=hash", "data.sequence=32", "train.batch=6", "parallel.threads=1", "data.vocab_size=64"});
  const Arguments step = program("moe-bench") + Arguments{"step",    "-c",        MOE_CONFIGS "/bench/cpu_small.yaml",
                                                          "--steps", "2",         "--warmup",
                                                          "1",       "--network", network} +
                         shape;
  done(step);
  const NetworkConfig computing = read_network(network);
  CHECK(computing.compute.experts != ComputeConfig().experts);
  CHECK(computing.inside.rate == LinkConfig().rate);
  done(mpirun(3) + program("moe-bench") +
       Arguments{"communication", "--most", "65536", "--seconds", "0.001", "--network", network});
  const NetworkConfig both = read_network(network);
  CHECK(both.compute.experts == computing.compute.experts);
  CHECK(both.inside.rate != LinkConfig().rate);

  const Json timed = parse_json(done(mpirun(3) + step + Arguments{"--compute", "timed", "--slower", "2"}).out);
  CHECK(timed.at("ms").get<double>() > 0);
  CHECK(timed.at("communication").at("ranks") == 3);
  CHECK(run_child(program("moe-bench") +
                  Arguments{"step", "-c", MOE_CONFIGS "/bench/cpu_small.yaml", "--compute", "timed"})
            .code == 2);

  const Finished plan =
      done(tiny_train(folder.path()) + Arguments{"--dry-run", "--ranks", "4", "--hosts", "2", "--network", network});
  CHECK_THAT(plan.out, Catch::Contains("planned step on 4 ranks, 2 per host"));
  CHECK_THAT(plan.out, Catch::Contains("best: parallel.expert: "));
}

TEST_CASE("a dry run plans for a cluster from a file, with the loads of a run") {
  TemporaryFolder folder;
  done(tiny_train(folder.path(), {"train.steps=4", "evaluate.tokens=100"}));
  const Arguments plan =
      tiny_train(folder.path(), {"name=planned"}) + Arguments{"--dry-run", "--ranks", "16", "--hosts", "2"};
  const Arguments network{"--network", MOE_CONFIGS "/networks/h100.yaml"};
  const Finished traced = done(plan + network + Arguments{"--routing-trace", folder / "run/metrics.jsonl"});
  CHECK_THAT(traced.out, Catch::Contains("mean of 4 recorded steps' loads"));
  CHECK_THAT(traced.out, Catch::Contains("with optimizer.shard: true"));
  const Finished alone = run_child(plan + Arguments{"--routing-trace", folder / "run/metrics.jsonl"});
  CHECK(alone.code == 2);
  CHECK_THAT(alone.err, Catch::Contains("--network"));
  CHECK(run_child(plan + Arguments{"--network", folder / "absent.yaml"}).code == 2);
}
