// Runs that go on with another length or other values, and limits of wall time.
#include <filesystem>

#include "core/base/json_text.h"
#include "core/checkpoint/checkpoint.h"
#include "data/posix_file.h"
#include "tests/apps/compare_runs.h"
#include "tests/apps/programs.h"
#include "tests/support/catch.h"

using namespace moe;
namespace fs = std::filesystem;

static const std::string kCosine = "train.learning_rate={kind: cosine, from: 0.003, to: 0.0003}";

// The learning rates of a run's records.
static std::vector<double> rates_of(const std::string& run) {
  std::vector<double> rates;
  for (const Json& record : comparable_metrics(run)) {
    if (record.at("type") == "train") rates.push_back(record.at("lr"));
  }
  return rates;
}

TEST_CASE("going on with another length is refused when the learning rate depends on it") {
  for (const Arguments& launcher : {Arguments{}, mpirun(2)}) {
    TemporaryFolder folder;
    done(launcher + tiny_train(folder.path(), {kCosine, "train.steps=10"}));
    const std::string metrics = read_file(folder / "run/metrics.jsonl");
    const Finished result = run_child(launcher + tiny_train(folder.path(), {kCosine, "train.steps=20"}));
    INFO(result.err);
    CHECK(result.code == 4);
    CHECK_THAT(result.err, Catch::Contains("planned for 10 updates") && Catch::Contains("train.steps asks for 20") &&
                               Catch::Contains("train.learning_rate: at update 10 it is 0.0003 by the plan") &&
                               Catch::Contains("keep_schedule") && Catch::Contains("stretch"));
    CHECK(read_file(folder / "run/metrics.jsonl") == metrics);
  }
}

TEST_CASE("keep_schedule keeps the plan and its last values, stretch makes another plan") {
  TemporaryFolder kept, stretched, once;
  for (const auto* folder : {&kept, &stretched}) done(tiny_train(folder->path(), {kCosine, "train.steps=10"}));
  done(tiny_train(once.path(), {kCosine, "train.steps=20"}));
  const auto planned = rates_of(kept / "run"), whole = rates_of(once / "run");
  // Twice, as a run that is interrupted and goes on by the same command.
  for (int i = 0; i < 2; ++i) done(tiny_train(kept.path(), {kCosine, "train.steps=20", "train.extend=keep_schedule"}));
  done(tiny_train(stretched.path(), {kCosine, "train.steps=20", "train.extend=stretch"}));
  const auto longer = rates_of(kept / "run"), other = rates_of(stretched / "run");
  REQUIRE(longer.size() == 20);
  REQUIRE(other.size() == 20);
  for (size_t i = 0; i < 20; ++i) {
    CHECK(longer[i] == (i < 10 ? planned[i] : 0.0003));
    CHECK(other[i] == (i < 10 ? planned[i] : whole[i]));
  }
  CHECK(load_run_state(last_checkpoint(kept.path())).length.total_updates == 10);
  CHECK(load_run_state(last_checkpoint(stretched.path())).length.total_updates == 20);
}

TEST_CASE("a run that goes on unchanged where nothing depends on its length needs no train.extend") {
  TemporaryFolder folder, straight;
  done(tiny_train(folder.path(), {"train.steps=10"}));
  done(tiny_train(folder.path(), {"train.steps=20"}));
  done(tiny_train(straight.path(), {"train.steps=20"}));
  CHECK(largest_difference(last_checkpoint(straight.path()), last_checkpoint(folder.path())) == 0);
}

TEST_CASE("fewer steps than were trained are reported, and nothing is done") {
  TemporaryFolder folder;
  done(tiny_train(folder.path(), {kCosine, "train.steps=10"}));
  const std::string metrics = read_file(folder / "run/metrics.jsonl"),
                    state = read_file(last_checkpoint(folder.path()) + "/state.json");
  const Finished result = done(tiny_train(folder.path(), {kCosine, "train.steps=4"}));
  CHECK_THAT(result.err, Catch::Contains("has been trained for 10 updates, and train.steps asks for 4") &&
                             !Catch::Contains("Training finished"));
  CHECK_THAT(read_file(folder / "run/config.yaml"), Catch::Contains("steps: 10"));
  CHECK(read_file(folder / "run/metrics.jsonl") == metrics);
  CHECK(read_file(last_checkpoint(folder.path()) + "/state.json") == state);
}

TEST_CASE("a run goes on with another learning rate and decay, which the manifest records") {
  TemporaryFolder folder, other;
  done(tiny_train(folder.path(), {"train.steps=10"}));
  done(tiny_train(other.path(), {"train.steps=10"}));
  const Arguments changes{
      "--resume", "must", "--change", "train.learning_rate=0.001", "--change", "optimizer.weight_decay=0.2"};
  // Without --change the differences are refused, with a hint.
  const Finished refused = run_child(tiny_train(folder.path(), {"train.steps=20", "train.learning_rate=0.001"}));
  CHECK(refused.code == 4);
  CHECK_THAT(refused.err, Catch::Contains("--change KEY=VALUE"));
  for (const int ranks : {1, 2}) {
    const std::string path = ranks == 1 ? folder.path() : other.path();
    done((ranks == 1 ? Arguments{} : mpirun(ranks)) + tiny_train(path, {"train.steps=20"}) + changes);
    const auto rates = rates_of(path + "/run");
    REQUIRE(rates.size() == 20);
    CHECK(rates[9] == 0.003);
    CHECK(rates[10] == 0.001);
  }
  const Json session = parse_json(read_file(folder / "run/manifest.json")).at("sessions").at(1);
  CHECK(session.at("from") == 10);
  CHECK(session.at("changes").at("train.learning_rate.value") == Json{{"before", "0.003"}, {"after", "0.001"}});
  CHECK(session.at("changes").contains("optimizer.weight_decay.value"));
  const Finished compared = run_child(program("moe-inspect") + Arguments{"compare", folder.path()});
  CHECK_THAT(compared.out + compared.err,
             Catch::Contains("keys were changed during training (--change): optimizer.weight_decay"));
  // The same command goes on, and so does one that has the new values as settings.
  done(tiny_train(folder.path(), {"train.steps=21"}) + changes);
  done(tiny_train(folder.path(), {"train.steps=22", "train.learning_rate=0.001", "optimizer.weight_decay=0.2"}));
}

TEST_CASE("a run goes on with another batch at its place in the data") {
  TemporaryFolder folder, straight;
  // Ten updates of 4 samples are five of 8.
  done(tiny_train(folder.path(), {"train.steps=10"}));
  done(tiny_train(folder.path(), {"train.steps=12"}) + Arguments{"--resume", "must", "--change", "train.batch=8"});
  const RunState state = load_run_state(last_checkpoint(folder.path()));
  CHECK(state.draw_shift == 5 - 10);
  CHECK(state.tokens == (10 * 4 + 2 * 8) * 16);
  // The optimizer's state is kept, and the samples are those that follow: as if the model had been trained so far with
  // the new batch, only its weights differ. A second change counts from there.
  done(tiny_train(folder.path(), {"train.steps=14", "train.batch=8"}) +
       Arguments{"--resume", "must", "--change", "train.batch=3"});
  CHECK(load_run_state(last_checkpoint(folder.path())).draw_shift == (5 + 2) * 8 / 3 + 1 - 12);
  const Finished refused = run_child(
      tiny_train(straight.path(), {"train.steps=5", "curriculum.sampler=buckets", "curriculum.signals={loss: 1}"}));
  REQUIRE(refused.code == 0);
  const Finished result = run_child(
      tiny_train(straight.path(), {"train.steps=5", "curriculum.sampler=buckets", "curriculum.signals={loss: 1}"}) +
      Arguments{"--resume", "must", "--change", "train.batch=8"});
  CHECK(result.code == 2);
  CHECK_THAT(result.err, Catch::Contains("curriculum.sampler buckets"));
}

TEST_CASE("a run goes on with other data of the same vocabulary") {
  TemporaryFolder folder, text;
  for (const char* name : {"a", "b"}) {
    write_text_file(text / name, std::string(3000, name[0]) + std::string(3000, 'x'));
    done(program("moe-data") +
         Arguments{"prepare", "--input", text / name, "--output", text / name + std::string(".corpus")});
  }
  const Arguments first{"train.steps=5", "data.path=" + text / "a.corpus"},
      second{"train.steps=10", "data.path=" + text / "b.corpus"};
  done(tiny_train(folder.path(), first));
  const Finished refused = run_child(tiny_train(folder.path(), second));
  CHECK(refused.code == 4);
  CHECK_THAT(refused.err, Catch::Contains("trained on other data") && Catch::Contains("--change data.path="));
  done(tiny_train(folder.path(), {"train.steps=10"}) +
       Arguments{"--resume", "must", "--change", "data.path=" + text / "b.corpus"});
  const RunState state = load_run_state(last_checkpoint(folder.path()));
  CHECK(state.step == 10);
  CHECK(state.best_step > 5);  // earlier evaluations were on the other data
  // A source of 16 states has another vocabulary than bytes.
  const Finished other = run_child(tiny_train(folder.path(), {"train.steps=15"}) +
                                   Arguments{"--resume", "must", "--change", "data.path=synthetic"});
  CHECK(other.code == 4);
  CHECK_THAT(other.err, Catch::Contains("vocab"));
}

TEST_CASE("keys that shape the model, and others that a run follows from, cannot be changed") {
  TemporaryFolder folder;
  done(tiny_train(folder.path(), {"train.steps=5"}));
  for (const char* change :
       {"model.d_model=32", "model.layers=3", "moe.experts=8", "moe.router=hash", "data.sequence=8", "seed=2",
        "optimizer.kind=sgd", "curriculum.sampler=buckets", "task=classify", "init.from=x", "model.dropouts=0.1"}) {
    const Finished result =
        run_child(tiny_train(folder.path(), {"train.steps=9"}) + Arguments{"--resume", "must", "--change", change});
    INFO(change << ": " << result.err);
    CHECK(result.code == 2);
  }
  const Finished automatic = run_child(tiny_train(folder.path()) + Arguments{"--change", "train.batch=8"});
  CHECK(automatic.code == 2);
  CHECK_THAT(automatic.err, Catch::Contains("--resume must"));
}

TEST_CASE("a run near its time limit saves and ends with 143, and goes on as if it had none") {
  for (const Arguments& launcher : {Arguments{}, mpirun(2)}) {
    TemporaryFolder folder, straight;
    const Arguments rest{"train.steps=6", "checkpoint.every=0", "evaluate.every=3"};
    int64_t step = 0;
    for (int i = 0; i < 3; ++i) {
      // A second is kept for the end of the process, so the limit is near at once: one update, or the evaluation before
      // it.
      const Finished result = run_child(launcher + tiny_train(folder.path(), rest + Arguments{"train.time_limit=1s"}));
      INFO(result.err);
      CHECK(result.code == 143);
      CHECK_THAT(result.err, Catch::Contains("train.time_limit of 1s is near"));
      const int64_t now = CheckpointFolder(folder / "run/checkpoints").last().value_or(-1);
      CHECK(now >= step);
      step = now;
    }
    done(launcher + tiny_train(folder.path(), rest + Arguments{"train.time_limit=1h"}));
    done(launcher + tiny_train(straight.path(), rest));
    CHECK(largest_difference(last_checkpoint(straight.path()), last_checkpoint(folder.path())) == 0);
    CHECK(metrics_difference(straight / "run", folder / "run") == "");
  }
}

TEST_CASE("checkpoints are saved by wall time") {
  for (const Arguments& launcher : {Arguments{}, mpirun(2)}) {
    const Arguments settings{"train.steps=5", "evaluate.every=0", "checkpoint.keep_best=false",
                             "checkpoint.keep_last=9"};
    TemporaryFolder often, seldom;
    done(launcher + tiny_train(often.path(), settings + Arguments{"checkpoint.every=0.0000001s"}));
    done(launcher + tiny_train(seldom.path(), settings + Arguments{"checkpoint.every=100h"}));
    CHECK(CheckpointFolder(often / "run/checkpoints").steps() == std::vector<int64_t>{1, 2, 3, 4, 5});
    CHECK(CheckpointFolder(seldom / "run/checkpoints").steps() == std::vector<int64_t>{5});
    CHECK(largest_difference(last_checkpoint(often.path()), last_checkpoint(seldom.path())) == 0);
  }
}

TEST_CASE("a dry run of more updates than a loop can make ends, and one of more than can be counted is refused") {
  TemporaryFolder folder;
  const Arguments lifecycle{
      "moe.lifecycle=[{kind: grow, every: 1000, times: 2}, {kind: restart, every: 1}, {kind: prune, below: 0.1, least: "
      "3}]"};
  done(tiny_train(folder.path(), lifecycle + Arguments{"train.steps=1e12"}) + Arguments{"--dry-run"});
  for (const char* steps : {"1.1e12", "1e19", "1e300", "1e300t", "1e25e"}) {
    for (const char* option : {"--dry-run", "--quiet"}) {
      const Finished result =
          run_child(tiny_train(folder.path(), {fmt::format("train.steps={}", steps)}) + Arguments{option});
      INFO(steps << ": " << result.err);
      CHECK(result.code == 2);
      CHECK_THAT(result.err, Catch::Contains("train.steps") && Catch::Contains("a run has at most"));
    }
  }
  // Intervals beyond the end of the run never come.
  done(tiny_train(folder.path(), {"train.steps=3", "checkpoint.every=1e300", "evaluate.every=1e19", "log.every=1e25"}));
  CHECK(CheckpointFolder(folder / "run/checkpoints").last() == 3);
}
