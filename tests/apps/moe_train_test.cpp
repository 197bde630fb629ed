#include <algorithm>
#include <filesystem>
#include <fstream>

#include "core/base/json_text.h"
#include "core/base/text.h"
#include "core/checkpoint/checkpoint.h"
#include "core/checkpoint/files.h"
#include "data/synthetic.h"
#include "tests/apps/compare_runs.h"
#include "tests/apps/programs.h"
#include "tests/support/catch.h"
#include "tests/support/optimizer_variants.h"

using namespace moe;
namespace fs = std::filesystem;

static size_t occurrences(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

TEST_CASE("moe-train learns the synthetic source to within 2 % of its entropy rate", "[slow]") {
  TemporaryFolder folder;
  const SyntheticConfig source{.states = 16, .order = 1, .concentration = 0.3, .seed = 1};
  done(tiny_train(folder.path(),
                  {"data.synthetic.train_tokens=1000000", "data.synthetic.validation_tokens=30000",
                   fmt::format("data.synthetic.concentration={}", source.concentration), "data.sequence=32",
                   "model.d_model=32", "model.dropout=0", "train.batch=16", "train.steps=600",
                   "train.learning_rate={kind: cosine, from: 0.01, to: 0.0005, warmup: 20}", "evaluate.every=0",
                   "evaluate.tokens=0", "checkpoint.every=0", "log.every=100"}));
  const auto records = comparable_metrics(folder / "run");
  const Json first = records.front(), last = records.back();
  REQUIRE(last.at("type") == "eval");
  const double entropy_rate = SyntheticSource(source).entropy_rate();
  CHECK(first.at("type") == "eval");
  CHECK(first.at("loss").get<double>() > 1.5 * entropy_rate);  // the start was well above the entropy rate
  CHECK(last.at("loss").get<double>() < 1.02 * entropy_rate);
  CHECK(last.at("loss").get<double>() > 0.98 * entropy_rate);  // lower only with access to targets
}

TEST_CASE("a run writes the documented files") {
  TemporaryFolder folder;
  const Finished result = done(tiny_train(folder.path()));
  CHECK(result.out.empty());  // standard output is for results
  for (const char* name : {"config.yaml", "manifest.json", "metrics.jsonl", "train.log", "checkpoints/BEST"}) {
    INFO(name);
    CHECK(fs::file_size(folder / "run/" + name) > 0);
  }
  const auto manifest = parse_json(read_file(folder / "run/manifest.json"));
  CHECK(manifest.at("ranks") == 1);
  CHECK(CheckpointFolder(folder / "run/checkpoints").last() == 30);
  for (const Json& record : comparable_metrics(folder / "run")) CHECK(record.at("schema") == 2);
  // The console and the log agree.
  CHECK_THAT(result.err, Catch::Contains("step     30/30 |"));
  CHECK_THAT(read_file(folder / "run/train.log"), Catch::Contains("step     30/30 |"));
  CHECK_THAT(result.err, Catch::Contains("new best"));
}

TEST_CASE("a resumed run is bitwise equal to an uninterrupted one") {
  TemporaryFolder straight, broken;
  done(tiny_train(straight.path()));
  done(tiny_train(broken.path(), {"train.steps=15"}));
  const Finished second = done(tiny_train(broken.path()) + Arguments{"--resume", "must"});
  CHECK_THAT(second.err, Catch::Contains("at step 15"));
  CHECK(largest_difference(last_checkpoint(straight.path()), last_checkpoint(broken.path())) == 0);
  CHECK(metrics_difference(straight / "run", broken / "run") == "");
}

TEST_CASE("a resumed run of any optimizer is bitwise equal to an uninterrupted one") {
  for (const std::string& optimizer : test::optimizer_variants()) {
    INFO(optimizer);
    TemporaryFolder straight, broken;
    const Arguments settings{fmt::format("optimizer={}", optimizer), "train.steps=20"};
    done(tiny_train(straight.path(), settings));
    done(tiny_train(broken.path(), settings + Arguments{"train.steps=15"}));
    done(tiny_train(broken.path(), settings) + Arguments{"--resume", "must"});
    CHECK(largest_difference(last_checkpoint(straight.path()), last_checkpoint(broken.path())) == 0);
    CHECK(metrics_difference(straight / "run", broken / "run") == "");
  }
}

TEST_CASE("a resumed run of a router with state is bitwise equal to an uninterrupted one") {
  // Biases updated by a rule; a regulated L1 coefficient; a copy that is frozen before the interruption; a baseline;
  // draws of a matrix.
  for (const char* router : {"{kind: sigmoid_bias, rate: 0.1}", "{kind: relu, l1: 0.01}", "{kind: stable, stage1: 10}",
                             "reinforce", "{kind: bayesian, posterior: ensemble}"}) {
    INFO(router);
    TemporaryFolder straight, broken;
    const Arguments settings{fmt::format("moe.router={}", router), "train.steps=20"};
    done(tiny_train(straight.path(), settings));
    done(tiny_train(broken.path(), settings + Arguments{"train.steps=15"}));
    done(tiny_train(broken.path(), settings) + Arguments{"--resume", "must"});
    CHECK(largest_difference(last_checkpoint(straight.path()), last_checkpoint(broken.path())) == 0);
    CHECK(metrics_difference(straight / "run", broken / "run") == "");
  }
}

TEST_CASE("a run of an earlier configuration version goes on as it began, with a command that says no version") {
  for (const char* changed :
       {"moe.router={kind: stable, stage1: 10}", "moe.router=relu", "moe.router=hyper", "model.arrangement=glam"}) {
    INFO(changed);
    const TemporaryFolder straight, broken, fresh;
    const Arguments old{changed, "config_version=1", "train.steps=20"};
    done(tiny_train(straight.path(), old));
    done(tiny_train(broken.path(), old + Arguments{"train.steps=15"}));
    const Finished second = done(mpirun(2) + tiny_train(broken.path(), {changed, "train.steps=17"}));
    CHECK_THAT(second.err, Catch::Contains("configuration version 1"));
    const Finished third = done(tiny_train(broken.path(), {changed, "train.steps=20"}));
    CHECK_THAT(third.err, Catch::Contains("at step 17"));
    CHECK(largest_difference(last_checkpoint(straight.path()), last_checkpoint(broken.path())) < 1e-5);
    // The run's copy of its configuration, here without the version, as earlier programs wrote it, means the same.
    std::string copy = read_text(straight / "run/config.yaml");
    for (const char* line : {"config_version: 1\n", "    form: ours\n"}) {
      if (const size_t at = copy.find(line); at != std::string::npos) copy.erase(at, std::string(line).size());
    }
    CHECK(copy.find("config_version") == std::string::npos);
    write_text_synced(straight / "run/config.yaml", copy);
    const Finished dumped = done(program("moe-train") + Arguments{"-c", straight / "run/config.yaml", "--dump-config"});
    CHECK(dumped.out.find("form: source") == std::string::npos);
    CHECK_THAT(dumped.out, Catch::Contains("config_version: 1"));
    // A new run has the present meaning, so it is another model or learns otherwise.
    done(tiny_train(fresh.path(), {changed, "train.steps=20"}));
    CHECK(read_text(fresh / "run/config.yaml") != read_text(broken / "run/config.yaml"));
    // A configuration that says a version is held to it.
    const Finished refused = run_child(tiny_train(broken.path(), {changed, "config_version=2", "train.steps=25"}));
    CHECK(refused.code == 4);
    CHECK_THAT(refused.err, Catch::Contains("another configuration"));
  }
}

TEST_CASE("a resumed run with a stateful capacity is bitwise equal to an uninterrupted one") {
  for (const char* capacity : {"{kind: needed, dropped: 0.05}", "{kind: complexity, by: loss, smallest: 0.5}",
                               "{kind: bandit, smallest: 0.5, largest: 1, arms: 3, hold: 2}"}) {
    INFO(capacity);
    TemporaryFolder straight, broken;
    const Arguments settings{fmt::format("moe.capacity={}", capacity), "train.steps=20"};
    done(tiny_train(straight.path(), settings));
    done(tiny_train(broken.path(), settings + Arguments{"train.steps=15"}));
    done(tiny_train(broken.path(), settings) + Arguments{"--resume", "must"});
    CHECK(largest_difference(last_checkpoint(straight.path()), last_checkpoint(broken.path())) == 0);
    CHECK(metrics_difference(straight / "run", broken / "run") == "");
  }
}

static const Arguments kWithMemory = {"model.attention.memory=24", "model.attention.position=relative",
                                      "curriculum.sampler=contiguous", "data.synthetic.train_tokens=1000",
                                      "evaluate.streams=3"};  // 15 steps per pass, so resuming meets a wrap

TEST_CASE("a resumed run with a context memory is bitwise equal to an uninterrupted one") {
  for (const char* at : {"train.steps=4", "train.steps=15", "train.steps=17"}) {
    INFO(at);
    const TemporaryFolder straight, broken;
    done(tiny_train(straight.path(), kWithMemory));
    done(tiny_train(broken.path(), kWithMemory + Arguments{at}));
    done(tiny_train(broken.path(), kWithMemory) + Arguments{"--resume", "must"});
    CHECK(largest_difference(last_checkpoint(straight.path()), last_checkpoint(broken.path())) == 0);
  }
}

TEST_CASE("a run with a context memory resumes on another number of ranks, up to rounding") {
  const TemporaryFolder straight, broken;
  done(tiny_train(straight.path(), kWithMemory));
  done(mpirun(2) + tiny_train(broken.path(), kWithMemory + Arguments{"train.steps=6", "checkpoint.every=6"}));
  done(mpirun(3) + tiny_train(broken.path(),
                              kWithMemory + Arguments{"train.steps=9", "checkpoint.every=6", "train.micro_batches=2"}));
  done(tiny_train(broken.path(), kWithMemory));
  CHECK(largest_difference(last_checkpoint(straight.path()), last_checkpoint(broken.path()), false) < 1e-3);
}

TEST_CASE("a run goes on with the optimizer's state divided among ranks or not, to the bit") {
  const TemporaryFolder straight, broken;
  const Arguments model{"model.d_model=64", "moe.d_ff=64"};
  const auto train = [&](const TemporaryFolder& folder, const Arguments& more) {
    done(mpirun(2) + tiny_train(folder.path(), model + more));
  };
  train(straight, {"train.steps=12"});
  train(broken, {"train.steps=5", "optimizer.shard=true", "model.recompute=blocks"});
  train(broken, {"train.steps=9"});
  train(broken, {"train.steps=12", "optimizer.shard=true", "parallel.reduce_during_backward=false"});
  CHECK(largest_difference(last_checkpoint(straight.path()), last_checkpoint(broken.path())) == 0);
}

TEST_CASE("a run resumes on another number of ranks, up to rounding") {
  TemporaryFolder straight, broken;
  const Arguments settings{"train.steps=12", "checkpoint.every=6"};
  done(tiny_train(straight.path(), settings));
  done(mpirun(2) + tiny_train(broken.path(), {"train.steps=6", "checkpoint.every=6"}));
  done(mpirun(4) + tiny_train(broken.path(), {"train.steps=9", "checkpoint.every=6", "parallel.expert=2"}));
  done(tiny_train(broken.path(), settings));
  CHECK(largest_difference(last_checkpoint(straight.path()), last_checkpoint(broken.path()), false) < 1e-3);
  const auto one = comparable_metrics(straight / "run"), other = comparable_metrics(broken / "run");
  REQUIRE(one.back().at("step") == 12);
  REQUIRE(other.back().at("step") == 12);
  CHECK(other.back().at("loss").get<double>() == Approx(one.back().at("loss").get<double>()).epsilon(1e-4));
}

TEST_CASE("moe-train --resume must and never") {
  TemporaryFolder folder;
  const Finished none = run_child(tiny_train(folder.path()) + Arguments{"--resume", "must"});
  CHECK(none.code == 4);
  CHECK_THAT(none.err, Catch::Contains("no complete checkpoint"));
  CHECK_FALSE(fs::exists(folder / "run"));
  done(tiny_train(folder.path(), {"train.steps=5"}) + Arguments{"--resume", "never"});
  const Finished some = run_child(tiny_train(folder.path()) + Arguments{"--resume", "never"});
  CHECK(some.code == 4);
  CHECK_THAT(some.err, Catch::Contains("up to step 5"));
  CHECK(run_child(tiny_train(folder.path()) + Arguments{"--resume", "maybe"}).code == 2);
}

TEST_CASE("a folder with another configuration or other data is refused and left unchanged") {
  TemporaryFolder folder;
  done(tiny_train(folder.path(), {"train.steps=5"}));
  const auto refuses = [&](const Arguments& changes, const Arguments& words) {
    const std::string config = read_file(folder / "run/config.yaml"), metrics = read_file(folder / "run/metrics.jsonl");
    const Finished result = run_child(tiny_train(folder.path(), changes));
    INFO(result.err);
    CHECK(result.code == 4);
    for (const std::string& word : words) CHECK_THAT(result.err, Catch::Contains(word));
    CHECK(read_file(folder / "run/config.yaml") == config);
    CHECK(read_file(folder / "run/metrics.jsonl") == metrics);
  };
  refuses({"model.d_model=32", "moe.router.k=1", "moe.router.softmax=all", "moe.router.renormalise=false"},
          {"model.d_model: 16 -> 32", "moe.router.k.value: 2 -> 1"});
  refuses({"train.learning_rate={kind: linear}"}, {"train.learning_rate.kind: constant -> linear"});
  refuses({"optimizer.kind=sgd"}, {"optimizer.kind: adamw -> sgd"});

  // The path of the data may change, its content may not. llm.c's format: 256 int32 of header, 16-bit tokens.
  std::string tokens(256 * 4 + 2 * 4000, '\1');
  const int32_t header[] = {20240520, 1, 4000};
  std::copy_n(reinterpret_cast<const char*>(header), sizeof header, tokens.begin());
  for (size_t i = 256 * 4 + 1; i < tokens.size(); i += 2) tokens[i] = 0;
  FILE* file = fopen((folder / "train.bin").c_str(), "w");
  REQUIRE(fwrite(tokens.data(), 1, tokens.size(), file) == tokens.size());
  fclose(file);
  refuses({"data.path=" + (folder / "train.bin")}, {"trained on other data"});
}

TEST_CASE("a run and its continuation may differ in some keys") {
  TemporaryFolder folder;
  done(tiny_train(folder.path(), {"train.steps=5"}));
  done(tiny_train(folder.path(), {"train.steps=6", "train.micro_batches=2", "log.every=3", "evaluate.every=2",
                                  "checkpoint.keep_last=1"}));
  CHECK(CheckpointFolder(folder / "run/checkpoints").last() == 6);
}

TEST_CASE("a run of an earlier version without a key can be resumed if the key has its default") {
  TemporaryFolder folder;
  done(tiny_train(folder.path(), {"train.steps=5"}));
  // The key's lines are replaced by the same number of bytes, because the checkpoint records the size.
  const auto rewrite = [&](int step, const std::string& in_place) {
    const std::string file = folder / fmt::format("run/checkpoints/step_{:08}/config.yaml", step);
    std::string config = read_file(file);
    const size_t begin = config.find("  hidden_dropout:");
    REQUIRE(begin != std::string::npos);
    size_t end = config.find('\n', begin) + 1;
    while (config.compare(end, 4, "    ") == 0) end = config.find('\n', end) + 1;
    std::string filling = in_place + "#" + std::string(end - begin - in_place.size() - 2, '-') + "\n";
    std::ofstream(file) << config.replace(begin, end - begin, filling);
    forget_hashes(fs::path(file).parent_path());
  };
  rewrite(5, "");
  const Finished other = run_child(tiny_train(folder.path(), {"train.steps=6", "model.hidden_dropout=0.1"}));
  CHECK(other.code == 4);
  CHECK_THAT(other.err, Catch::Contains("model.hidden_dropout.value: 0 -> 0.1"));
  const Finished same = done(tiny_train(folder.path(), {"train.steps=6"}));
  CHECK_THAT(same.err, Catch::Contains("Resuming"));
  rewrite(6, "  gone: 3\n");
  const Finished unknown = run_child(tiny_train(folder.path(), {"train.steps=7"}));
  CHECK(unknown.code == 4);
  CHECK_THAT(unknown.err, Catch::Contains("model.gone"));
}

TEST_CASE("unknown keys end with 2, are all listed, and create no folder") {
  TemporaryFolder folder;
  FILE* file = fopen((folder / "a.yaml").c_str(), "w");
  fputs("modle: {layers: 2}\nmoe:\n  expertss: 4\ntrain: {batch: -3}\n", file);
  fclose(file);
  const Finished result =
      run_child(program("moe-train") + Arguments{"-c", folder / "a.yaml", "--set", "folder=" + (folder / "runs")});
  CHECK(result.code == 2);
  for (const char* part : {"modle", "model", "expertss", "experts", "a.yaml:1", "a.yaml:3", "train.batch"})
    CHECK_THAT(result.err, Catch::Contains(part));
  CHECK_FALSE(fs::exists(folder / "runs"));
}

TEST_CASE("usage errors end with 2 and are printed once for any number of ranks") {
  TemporaryFolder folder;
  for (const Arguments& launcher : {Arguments{}, mpirun(3)}) {
    for (const Arguments& arguments :
         {program("moe-train") + Arguments{"--no-such-option"}, program("moe-train"),
          tiny_train(folder.path(), {"moe.experts=0"}), tiny_train(folder.path(), {"model.attention.heads=3"}),
          tiny_train(folder.path(), {"moe.router.k=1"}), tiny_train(folder.path(), {"moe.router.k=5"}),
          tiny_train(folder.path(), {"parallel.expert=7"}), tiny_train(folder.path(), {"train.steps=5%"})}) {
      const Finished result = run_child(launcher + arguments);
      INFO(join(launcher + arguments, " ") << "\n" << result.err);
      CHECK(result.code == 2);
      CHECK(occurrences(result.err, "Error: ") + occurrences(result.err, "The following argument was not expected") ==
            1);
      CHECK(result.out.empty());
      CHECK_FALSE(fs::exists(folder / "run"));
    }
  }
}

TEST_CASE("missing data ends with 3 and creates no folder") {
  TemporaryFolder folder;
  const Finished result = run_child(tiny_train(folder.path(), {"data.path=" + (folder / "absent")}));
  CHECK(result.code == 3);
  CHECK_THAT(result.err, Catch::Contains("absent"));
  CHECK_FALSE(fs::exists(folder / "run"));
}

TEST_CASE("a run that diverges ends with 6 and keeps its last checkpoint") {
  TemporaryFolder folder;
  const Finished result = run_child(tiny_train(
      folder.path(), {"train.steps=10000", "train.learning_rate={kind: constant, value: 1e6}", "train.clip_norm=0"}));
  INFO(result.err);
  CHECK(result.code == 6);
  CHECK_THAT(result.err, Catch::Contains("diverged"));
  // A comparison names it.
  CHECK(occurrences(read_file(folder / "run/metrics.jsonl"), R"("type":"diverged")") == 1);
  const Finished compared = run_child(program("moe-inspect") + Arguments{"compare", folder.path()});
  INFO(compared.err);
  CHECK_THAT(compared.err, Catch::Contains("run: loss or gradient not finite at step"));
  // Going on from a checkpoint before it, the run has not diverged.
  done(tiny_train(folder.path(),
                  {"train.steps=5", "train.learning_rate={kind: constant, value: 1e6}", "train.clip_norm=0"}) +
       Arguments{"--resume", "must", "--change", "train.learning_rate={kind: constant, value: 0}"});
  CHECK(occurrences(read_file(folder / "run/metrics.jsonl"), R"("type":"diverged")") == 0);
}

TEST_CASE("a collapse ends with 7 if the alarm stops runs, with a checkpoint and a record") {
  TemporaryFolder folder;
  const Arguments stop = tiny_train(
      folder.path(), {"train.steps=50", "moe.alarm={share: 0.01, updates: 7, action: stop}", "checkpoint.every=0"});
  const Finished result = run_child(stop);
  CHECK(result.code == 7);
  CHECK_THAT(result.err, Catch::Contains("step 7: expert"));
  CHECK_THAT(last_checkpoint(folder.path()), Catch::Contains("7"));
  CHECK_THAT(read_file(folder / "run/metrics.jsonl"), Catch::Contains(R"("type":"alarm")"));
}

TEST_CASE("an alarm that restarts experts reports it, and a resumed run has it at the same update") {
  TemporaryFolder straight, broken;
  const Arguments settings{"train.steps=20", "moe.alarm={share: 0.01, updates: 8, action: restart}"};
  done(tiny_train(straight.path(), settings));
  done(tiny_train(broken.path(), settings + Arguments{"train.steps=13"}));
  done(tiny_train(broken.path(), settings) + Arguments{"--resume", "must"});
  CHECK(largest_difference(last_checkpoint(straight.path()), last_checkpoint(broken.path())) == 0);
  const std::string records = read_file(straight / "run/metrics.jsonl");
  CHECK(occurrences(records, R"("kind":"restart")") == 2 * 2);
}

TEST_CASE("a run without a better evaluation stops early, and does not continue when it is resumed") {
  TemporaryFolder folder;
  const Arguments command = tiny_train(
      folder.path(),
      {"train.steps=50", "train.learning_rate={kind: constant, value: 0}", "evaluate.every=2", "evaluate.patience=3"});
  const Finished first = done(command);
  CHECK_THAT(first.err, Catch::Contains("stopped early at step 6 of 50"));
  const Finished second = done(command);
  CHECK_THAT(second.err, Catch::Contains("stopped early at step 6 of 50"));
}

TEST_CASE("a resumed run whose strategy and coefficients change is bitwise equal to an uninterrupted one") {
  TemporaryFolder straight, broken;
  const Arguments settings{
      "train.steps=20", "log.every=1",
      "moe.strategy={kind: change, at: 12, first: {kind: compete, probability: 1}, then: stochastic}",
      "moe.balance=[{kind: switch, coefficient: {kind: linear, from: 0.1, to: 0, over: 18}}]",
      "moe.alarm={share: 0.01, updates: 4, action: raise}"};
  done(tiny_train(straight.path(), settings));
  done(tiny_train(broken.path(), settings + Arguments{"train.steps=15"}));
  done(tiny_train(broken.path(), settings) + Arguments{"--resume", "must"});
  CHECK(largest_difference(last_checkpoint(straight.path()), last_checkpoint(broken.path())) == 0);
  CHECK(metrics_difference(straight / "run", broken / "run") == "");
  CHECK_THAT(read_file(straight / "run/metrics.jsonl"),
             Catch::Contains(R"("scheduled":{"moe.balance.0.coefficient":0.1})"));
}

TEST_CASE("moe-train --dump-config prints a configuration that dumps to itself") {
  TemporaryFolder folder;
  const Finished first =
      done(tiny_train(folder.path(), {"moe.balance=[{kind: switch, coefficient: 0.5}]"}) + Arguments{"--dump-config"});
  FILE* file = fopen((folder / "dumped.yaml").c_str(), "w");
  fputs(first.out.c_str(), file);
  fclose(file);
  const Finished second = done(program("moe-train") + Arguments{"-c", folder / "dumped.yaml", "--dump-config"});
  CHECK(first.out == second.out);
  CHECK_THAT(first.out, Catch::Contains("coefficient: 0.5"));
  CHECK_FALSE(fs::exists(folder / "run"));
}

TEST_CASE("moe-train --dry-run reports the size and does not train") {
  TemporaryFolder folder;
  const Finished result = done(tiny_train(folder.path()) + Arguments{"--dry-run", "--ranks", "4"});
  for (const char* part :
       {"active parameters", "FLOPs per token", "tokens per step", "4 = 1 data x 4 expert parallel", "total"}) {
    CHECK_THAT(result.out, Catch::Contains(part));
  }
  CHECK_FALSE(fs::exists(folder / "run"));
}

TEST_CASE("moe-train --dry-run plans for ranks on several hosts") {
  TemporaryFolder folder;
  const auto plan = [&](const Arguments& options) {
    return run_child(tiny_train(folder.path()) + Arguments{"--dry-run"} + options);
  };
  const Finished result = plan({"--ranks", "4", "--hosts", "2"});
  CHECK(result.code == 0);
  CHECK_THAT(result.out, Catch::Contains("4 = 2 data x 2 expert parallel, 2 per host"));
  CHECK_THAT(result.out, Catch::Contains("gradients in messages"));
  for (const Arguments& wrong : {Arguments{"--ranks", "4", "--hosts", "3"}, Arguments{"--hosts", "2"},
                                 Arguments{"--ranks", "-4"}, Arguments{"--ranks", "4", "--hosts", "-2"}}) {
    CAPTURE(wrong);
    const Finished refused = plan(wrong);
    CHECK(refused.code == 2);
    CHECK_THAT(refused.err, Catch::Contains("--hosts"));
  }
}

TEST_CASE("damaged lines of metrics.jsonl do not keep a run from going on, and are dropped") {
  TemporaryFolder folder;
  done(tiny_train(folder.path(), {"train.steps=5"}));
  const std::string file = folder / "run/metrics.jsonl", before = read_file(file);
  std::ofstream(file, std::ios::app)
      << "{\"type\": 3, \"step\": 2}\n[1]\n{\"type\": \"train\", \"step\": \"x\"}\n{\n\xff\n";
  done(tiny_train(folder.path(), {"train.steps=5"}));
  CHECK(read_file(file) == before);
}
