// Runs that signals, kills and errors of single ranks end, and how they go on.
#include <unistd.h>

#include <csignal>
#include <filesystem>

#include "core/base/philox.h"
#include "core/checkpoint/checkpoint.h"
#include "data/posix_file.h"
#include "tests/apps/compare_runs.h"
#include "tests/apps/programs.h"
#include "tests/support/catch.h"

using namespace moe;
namespace fs = std::filesystem;

// Interrupts a long run and resumes it for a few steps; an uninterrupted run of the same length must agree.
static void check_interruption(int number, int code, const Arguments& launcher, size_t signalled_rank) {
  TemporaryFolder straight, broken;
  {
    ChildProcess run(launcher +
                     tiny_train(broken.path(), {"train.steps=1M", "checkpoint.every=0", "evaluate.every=0"}));
    REQUIRE(run.wait_for("step     20/"));
    if (launcher.empty())
      run.signal(number);
    else
      kill(run.children().at(signalled_rank), number);
    const Finished result = run.wait();
    INFO(result.err);
    CHECK(result.code == code);
    CHECK_THAT(result.err, Catch::Contains("interrupted at step"));
  }
  const int64_t step = CheckpointFolder(broken / "run/checkpoints").last().value_or(0);
  REQUIRE(step >= 20);
  const Arguments rest{fmt::format("train.steps={}", step + 5), "checkpoint.every=0", "evaluate.every=0"};
  done(launcher + tiny_train(broken.path(), rest));
  done(launcher + tiny_train(straight.path(), rest));
  CHECK(largest_difference(last_checkpoint(straight.path()), last_checkpoint(broken.path())) == 0);
  CHECK(metrics_difference(straight / "run", broken / "run") == "");
}

TEST_CASE("SIGTERM ends a run after its step and a checkpoint, with 143") {
  check_interruption(SIGTERM, 143, {}, 0);
}
TEST_CASE("SIGINT ends a run after its step and a checkpoint, with 130") {
  check_interruption(SIGINT, 130, {}, 0);
}
TEST_CASE("a signal to any one rank ends all ranks cleanly") {
  check_interruption(SIGTERM, 143, mpirun(2), 1);
}

// mpirun handles SIGTERM itself: it kills the ranks after a second (Open MPI 4) or half a second (Open MPI 5, which has
// no option for it). It forwards SIGUSR1 and waits until the ranks have ended.
TEST_CASE("SIGUSR1 to mpirun reaches the ranks, which save and end cleanly", "[slow]") {
  TemporaryFolder folder;
  ChildProcess run(mpirun(2) + tiny_train(folder.path(), {"train.steps=1M", "checkpoint.every=0", "evaluate.every=0"}));
  REQUIRE(run.wait_for("step     20/"));
  run.signal(SIGUSR1);
  const Finished result = run.wait();
  INFO(result.err);
  CHECK(result.code == 143);
  CHECK_THAT(result.err, Catch::Contains("interrupted at step"));
  CHECK(CheckpointFolder(folder / "run/checkpoints").last().value_or(0) >= 20);
}

TEST_CASE("kill -9 at any moment keeps all complete checkpoints, and the resumed run equals an uninterrupted one",
          "[slow]") {
  TemporaryFolder straight, broken;
  const Arguments settings{"train.steps=150", "checkpoint.every=1", "evaluate.every=10", "log.every=7"};
  done(tiny_train(straight.path(), settings));
  const CheckpointFolder checkpoints(broken / "run/checkpoints");
  int64_t last = 0;
  int kills = 0;
  const RandomKey key{3, RandomPurpose::test, 0, 0};
  for (; kills < 40 && last < 150; ++kills) {
    ChildProcess run(tiny_train(broken.path(), settings));
    REQUIRE(run.wait_for(last == 0 ? "run   150" : "Resuming"));
    usleep(static_cast<useconds_t>(1e5 * key.uniform(static_cast<uint64_t>(kills))));
    run.signal(SIGKILL);
    run.wait();
    const int64_t now = checkpoints.last().value_or(0);
    INFO("kill " << kills);
    REQUIRE(now >= last);
    last = now;
  }
  INFO(kills << " kills, the last checkpoint is of step " << last);
  done(tiny_train(broken.path(), settings));
  CHECK(largest_difference(last_checkpoint(straight.path()), last_checkpoint(broken.path())) == 0);
  CHECK(metrics_difference(straight / "run", broken / "run") == "");
  CHECK(checkpoints.best() == CheckpointFolder(straight / "run/checkpoints").best());
  for (const auto& entry : fs::directory_iterator(broken / "run/checkpoints")) {
    INFO(entry.path());
    CHECK(entry.path().extension() != ".tmp");  // no leftover temporary files
  }
}

TEST_CASE("a run marks the best checkpoint again when it was killed before marking it") {
  TemporaryFolder folder;
  done(tiny_train(folder.path(), {"train.steps=10"}));
  const CheckpointFolder checkpoints(folder / "run/checkpoints");
  REQUIRE(checkpoints.best() == 10);
  checkpoints.mark_best(5);
  done(tiny_train(folder.path(), {"train.steps=10"}));
  CHECK(checkpoints.best() == 10);
}

// A zombie counts as ended: its parent is gone, and the first process of a container does not always reap orphans.
static bool is_running(pid_t pid) {
  const std::string status = read_file("/proc/" + std::to_string(pid) + "/status");
  return !status.empty() && status.find("State:\tZ") == std::string::npos;
}
static bool ends(pid_t pid) {
  for (int tenths = 0; tenths < 10 * kHangSeconds && is_running(pid); ++tenths) usleep(100000);
  return !is_running(pid);
}

TEST_CASE("the death of one rank ends the others") {
  TemporaryFolder folder;
  ChildProcess run(mpirun(2) + tiny_train(folder.path(), {"train.steps=1M"}));
  REQUIRE(run.wait_for("step     20/"));
  const std::vector<pid_t> ranks = run.children();
  REQUIRE(ranks.size() == 2);
  kill(ranks[1], SIGKILL);
  CHECK(run.wait().code != 0);
  for (const pid_t rank : ranks) CHECK(ends(rank));
}

TEST_CASE("an error on one rank ends all ranks with its exit code, and the rank is named") {
  TemporaryFolder folder;
  // A shell gives the ranks different arguments, because Open MPI 5.0.7 crashes on `mpirun -n 1 A : -n 1 B`.
  const Finished result = run_child(
      mpirun(2) +
      Arguments{"/bin/sh", "-c", R"([ "$OMPI_COMM_WORLD_RANK" = 0 ] || set -- "$@" --set "data.path=$0"; exec "$@")",
                folder / "absent"} +
      tiny_train(folder.path()));
  INFO(result.err);
  CHECK(result.code == 3);
  CHECK_THAT(result.err, Catch::Contains("(rank 1 of 2)"));
}

TEST_CASE("SIGHUP, SIGXCPU and SIGUSR2 end a run like SIGTERM") {
  const int number = GENERATE(SIGHUP, SIGXCPU, SIGUSR2);
  check_interruption(number, 143, {}, 0);
}

TEST_CASE("an evaluation and a sample that are due when a signal comes are made up for") {
  TemporaryFolder straight, broken, text;
  write_text_file(text / "text", std::string(3000, 'a') + std::string(3000, 'b') + std::string(3000, 'a'));
  done(program("moe-data") + Arguments{"prepare", "--input", text / "text", "--output", text / "corpus"});
  // Both are due after each step, so any signal comes before one.
  const Arguments due{"data.path=" + text / "corpus",
                      "evaluate.every=1",
                      "evaluate.tokens=100",
                      "sample.every=1",
                      "sample.tokens=2",
                      "checkpoint.every=0",
                      "checkpoint.keep_last=100"};
  ChildProcess run(tiny_train(broken.path(), due + Arguments{"train.steps=1M"}));
  REQUIRE(run.wait_for("step      3/"));
  run.signal(SIGTERM);
  REQUIRE(run.wait().code == 143);
  const int64_t step = CheckpointFolder(broken / "run/checkpoints").last().value_or(0);
  REQUIRE(step >= 3);
  CHECK_FALSE(load_run_state(last_checkpoint(broken.path())).step_finished);
  const Arguments rest = due + Arguments{fmt::format("train.steps={}", step)};
  done(tiny_train(broken.path(), rest));
  done(tiny_train(straight.path(), rest));
  CHECK(metrics_difference(straight / "run", broken / "run") == "");
  const RunState made_up = load_run_state(last_checkpoint(broken.path())),
                 direct = load_run_state(last_checkpoint(straight.path()));
  CHECK(made_up.step_finished);
  CHECK(made_up.best_step == direct.best_step);
  CHECK(made_up.best_loss == direct.best_loss);
  CHECK(made_up.evaluations_since_best == direct.evaluations_since_best);
  // Once more, nothing is left to do.
  const std::string before = read_file(broken / "run/metrics.jsonl");
  done(tiny_train(broken.path(), rest));
  CHECK(read_file(broken / "run/metrics.jsonl") == before);
}

// An evaluation takes seconds when it is of the whole split, and is over at once when it is of 500 tokens.
static const Arguments kLongSplit{"data.synthetic.validation_tokens=10M", "checkpoint.every=0"};

TEST_CASE("a signal during an evaluation ends it, and it is made up for") {
  for (const Arguments& launcher : {Arguments{}, mpirun(2)}) {
    TemporaryFolder straight, broken;
    // Before the first update, and after the fifth.
    for (const char* place : {"run   8 updates", "step      5/8"}) {
      ChildProcess run(launcher +
                       tiny_train(broken.path(), kLongSplit + Arguments{"train.steps=8", "evaluate.tokens=0"}));
      REQUIRE(run.wait_for(place));
      if (launcher.empty())
        run.signal(SIGTERM);
      else
        kill(run.children().at(1), SIGTERM);
      const Finished result = run.wait();
      INFO(result.err);
      CHECK(result.code == 143);
      const RunState state = load_run_state(last_checkpoint(broken.path()));
      CHECK_FALSE(state.step_finished);
      CHECK_THAT(result.err, Catch::Contains(fmt::format("interrupted at step {}", state.step)));
      if (state.step == 0)
        done(launcher + tiny_train(broken.path(), kLongSplit + Arguments{"train.steps=4", "evaluate.every=0"}));
    }
    done(launcher + tiny_train(straight.path(), kLongSplit + Arguments{"train.steps=4", "evaluate.every=0"}));
    for (const TemporaryFolder* folder : {&straight, &broken})
      done(launcher + tiny_train(folder->path(), kLongSplit + Arguments{"train.steps=8"}));
    CHECK(largest_difference(last_checkpoint(straight.path()), last_checkpoint(broken.path())) == 0);
    CHECK(metrics_difference(straight / "run", broken / "run") == "");
  }
}

// A process that is sent SIGTERM in the moment when it writes the first record with this text, by tests/faults. What
// follows the record is made with the signal pending, whatever the machine's speed.
static Finished signalled_at(const std::string& record, const std::string& folder, const Arguments& launcher,
                             const Arguments& settings) {
  return run_child(launcher +
                   Arguments{"/usr/bin/env", "LD_PRELOAD=" MOE_FAULTS, "MOE_FAULT_FOLDER=" + folder + "/run",
                             "MOE_FAULT_TEXT=" + record, "MOE_FAULT_AT=1", "MOE_FAULT_KIND=SIGTERM"} +
                   tiny_train(folder, settings));
}

// Runs with a signal at that record, and to the end; and straight. Returns the state that the signalled run saved.
static RunState check_signal_at(const std::string& record, const Arguments& launcher, const Arguments& settings) {
  TemporaryFolder straight, broken;
  const Finished result = signalled_at(record, broken.path(), launcher, settings);
  INFO(record << "\n" << result.err);
  CHECK(result.code == 143);
  const RunState state = load_run_state(last_checkpoint(broken.path()));
  for (const TemporaryFolder* folder : {&straight, &broken}) done(launcher + tiny_train(folder->path(), settings));
  CHECK(largest_difference(last_checkpoint(straight.path()), last_checkpoint(broken.path())) == 0);
  CHECK(metrics_difference(straight / "run", broken / "run") == "");
  CHECK_THAT(read_file(straight / "run/metrics.jsonl"), Catch::Contains(record));
  // Once more, nothing is left to do.
  const std::string before = read_file(broken / "run/metrics.jsonl");
  done(launcher + tiny_train(broken.path(), settings));
  CHECK(read_file(broken / "run/metrics.jsonl") == before);
  return state;
}

TEST_CASE("a signal before or during a sample ends it, and it is made up for") {
  // A million tokens, which take minutes and whose record would be seen.
  const Arguments endless{"train.steps=8", "sample.every=7", "sample.tokens=1048576"};
  for (const Arguments& launcher : {Arguments{}, mpirun(2)}) {
    const TemporaryFolder folder;
    const Finished result = signalled_at(R"("type":"train","step":7,)", folder.path(), launcher, endless);
    INFO(result.err);
    CHECK(result.code == 143);
    const RunState state = load_run_state(last_checkpoint(folder.path()));
    CHECK(state.step == 7);
    CHECK_FALSE(state.step_finished);
    CHECK_THAT(read_file(folder / "run/metrics.jsonl"), !Catch::Contains(R"("type":"sample")"));
    check_signal_at(R"("type":"train","step":7,)", launcher, {"train.steps=8", "sample.every=7", "sample.tokens=5"});
  }
  // The same within the sample.
  const TemporaryFolder folder;
  ChildProcess run(tiny_train(folder.path(), endless));
  REQUIRE(run.wait_for("step      7/8"));
  run.signal(SIGTERM);
  CHECK(run.wait().code == 143);
  CHECK_FALSE(load_run_state(last_checkpoint(folder.path())).step_finished);
}

TEST_CASE("a signal while experts change ends the run, and the loss after the change is measured when it goes on") {
  const Arguments changing{"train.steps=9", "moe.lifecycle=[{kind: grow, at: 7}, {kind: prune, at: 7, count: 3}]"};
  for (const Arguments& launcher : {Arguments{}, mpirun(2)}) {
    // Before the first change: it is made and saved, and the second one waits.
    const RunState grown = check_signal_at(R"("type":"train","step":7,)", launcher, changing);
    CHECK(grown.step == 7);
    CHECK(grown.experts.at("number") == 8);
    CHECK(grown.lifecycle_records == 0);
    CHECK(grown.unmeasured_change.is_object());
    // Before the second: the first one has its records, one for each of two layers.
    const RunState pruned = check_signal_at(R"("type":"lifecycle","step":7,)", launcher, changing);
    CHECK(pruned.step == 7);
    CHECK(pruned.experts.at("number") == 5);
    CHECK(pruned.lifecycle_records == 2);
    CHECK(pruned.unmeasured_change.is_object());
    // The checkpoint of the step has neither, and both are made again.
    const RunState before =
        check_signal_at(R"("type":"lifecycle","step":7,)", launcher, changing + Arguments{"checkpoint.every=7"});
    CHECK(before.step == 7);
    CHECK(before.experts.at("number") == 4);
    CHECK(before.unmeasured_change.is_null());
  }
}

TEST_CASE("a signal while the alarm restarts experts keeps the alarm's records and no second ones") {
  const RunState state = check_signal_at(
      R"("type":"alarm","step":3,)", {},
      {"train.steps=6", "moe.alarm={share: 0.01, updates: 1, action: restart}", "sample.every=3", "sample.tokens=2"});
  CHECK(state.step == 3);
  CHECK_FALSE(state.step_finished);
  CHECK(state.unmeasured_change.at("cause") == "alarm");
}

TEST_CASE("experts that the alarm restarted at the step of a signal keep their record") {
  TemporaryFolder straight, broken;
  // The alarm restarts experts at every step.
  const Arguments settings{"moe.alarm={share: 0.01, updates: 1, action: restart}", "checkpoint.every=0",
                           "evaluate.every=0"};
  ChildProcess run(tiny_train(broken.path(), settings + Arguments{"train.steps=1M"}));
  REQUIRE(run.wait_for("step      3/"));
  run.signal(SIGTERM);
  REQUIRE(run.wait().code == 143);
  const Arguments rest =
      settings + Arguments{fmt::format("train.steps={}", load_run_state(last_checkpoint(broken.path())).step + 3)};
  done(tiny_train(broken.path(), rest));
  done(tiny_train(straight.path(), rest));
  CHECK_THAT(read_file(straight / "run/metrics.jsonl"), Catch::Contains(R"("cause":"alarm")"));
  CHECK(metrics_difference(straight / "run", broken / "run") == "");
}

// All signals are pending when the stopped process goes on, so that they come at once.
static Finished after_signals(const std::string& folder, const std::vector<int>& numbers) {
  ChildProcess run(tiny_train(folder, {"train.steps=1M", "checkpoint.every=0", "evaluate.every=0"}));
  REQUIRE(run.wait_for("step     20/"));
  run.signal(SIGSTOP);
  for (const int number : numbers) run.signal(number);
  run.signal(SIGCONT);
  return run.wait();
}

TEST_CASE("only a second SIGINT or SIGTERM ends a run at once; other signals may come as often as they like") {
  TemporaryFolder saved, lost;
  CHECK(after_signals(saved.path(), {SIGUSR1, SIGUSR2, SIGHUP, SIGXCPU, SIGTERM}).code == 143);
  CHECK(CheckpointFolder(saved / "run/checkpoints").last().value_or(0) >= 20);
  const Finished result = after_signals(lost.path(), {SIGINT, SIGTERM});
  CHECK((result.code == 130 || result.code == 143));
  CHECK_THAT(result.err, !Catch::Contains("interrupted at step"));
  CHECK(CheckpointFolder(lost / "run/checkpoints").last().value_or(0) < 20);
}

TEST_CASE("a run goes on when its output is no longer read") {
  TemporaryFolder folder;
  const Finished result = run_child(tiny_train(folder.path(), {"train.steps=10"}), [] {
    int ends[2];
    if (::pipe(ends) != 0) return;
    ::close(ends[0]);
    ::dup2(ends[1], STDERR_FILENO);
    ::dup2(ends[1], STDOUT_FILENO);
  });
  CHECK(result.code == 0);
  CHECK(CheckpointFolder(folder / "run/checkpoints").last() == 10);
}
