// A language model, and a classifier that starts from it: training, resuming, several ranks, evaluation and reports.
#include <fmt/core.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <tuple>

#include "core/base/json_text.h"
#include "core/base/philox.h"
#include "core/checkpoint/checkpoint.h"
#include "tests/apps/compare_runs.h"
#include "tests/apps/programs.h"
#include "tests/support/catch.h"
#include "tests/support/tiny_images.h"

using namespace moe;
using namespace moe::test;
namespace fs = std::filesystem;

// Sentences of small words; the class is whether they contain "good" or "bad".
static std::string sentence(uint64_t seed, int64_t i, bool good) {
  static constexpr const char* kWords[] = {"the", "film", "was", "a", "long", "one", "we", "saw", "it"};
  const RandomKey key{seed, RandomPurpose::test, 0, static_cast<uint64_t>(i)};
  const auto length = static_cast<int64_t>(2 + key.bits(0) % 5), place = static_cast<int64_t>(key.bits(1) % 3);
  std::string text;
  for (int64_t w = 0; w < length; ++w) {
    text += text.empty() ? "" : " ";
    text +=
        w == std::min(place, length - 1) ? (good ? "good" : "bad") : kWords[key.bits(static_cast<uint64_t>(w) + 2) % 9];
  }
  return text;
}

// A corpus of 27 letters, a small language model on it, and labelled texts.
struct Texts {
  Texts() {
    std::string corpus = "abcdefghijklmnopqrstuvwxyz ";
    for (int64_t i = 0; i < 4000; ++i) corpus += sentence(1, i, i % 2 == 0) + " ";
    write_bytes(folder / "corpus.txt", corpus);
    fs::create_directory(folder / "texts");
    for (const auto& [part, count, seed] : {std::tuple("train", 200, 2), {"validation", 60, 3}, {"test", 80, 4}}) {
      std::string lines;
      for (int64_t i = 0; i < count; ++i) {
        const bool good = i % 3 == 0;
        lines += fmt::format("{}\t{}\r\n", good ? "praise" : "blame", sentence(static_cast<uint64_t>(seed), i, good));
      }
      write_bytes(fmt::format("{}/texts/{}.tsv", folder.path(), part), lines);
    }
    done(program("moe-data") +
         Arguments{"prepare", "--input", folder / "corpus.txt", "--tokenizer", "char", "--output", folder / "corpus"});
    done(program("moe-train") +
         settings(model() + Arguments{"name=pretrained", "data.path=" + (folder / "corpus"), "train.steps=60",
                                      "evaluate.every=20", "checkpoint.every=20"}));
  }
  Arguments model() const {
    return {"folder=" + folder.path(),
            "parallel.threads=1",
            "model.layers=2",
            "model.d_model=16",
            "model.attention.heads=2",
            "moe.experts=4",
            "moe.d_ff=16",
            "data.sequence=32",
            "train.batch=8",
            "train.learning_rate={kind: constant, value: 0.003}",
            "log.every=1"};
  }
  // As a user does it: on top of the configuration that the language model's run saved.
  Arguments classify(const Arguments& assignments = {}) const {
    return program("moe-train") +
           Arguments{"-c", folder / "pretrained/config.yaml", "-c", MOE_CONFIGS "/finetune/protocol.yaml"} +
           settings(Arguments{"name=run", "folder=" + folder.path(), "init.from=" + (folder / "pretrained"),
                              "data.path=" + (folder / "texts"), "train.steps=8e", "log.every=1",
                              "train.learning_rate.value=0.003"} +
                    assignments);
  }
  std::string last(const std::string& run = "run") const { return find_checkpoint(folder / run, "last"); }
  std::vector<Json> records(const std::string& type, const std::string& run = "run") const {
    std::vector<Json> result;
    for (const Json& record : comparable_metrics(folder / run)) {
      if (record.at("type") == type) result.push_back(record);
    }
    return result;
  }

  TemporaryFolder folder;
};

TEST_CASE("a language model becomes a classifier, and moe-eval reports its accuracy", "[slow]") {
  const Texts texts;
  const Finished trained = done(texts.classify());
  for (const char* part : {"200 train, 60 validation, 80 test", "2 classes, the largest 66.5%", "vocabulary 27 (char)",
                           "fresh: class_token.weight, head.hidden.weight, head.weight", "left out: head.weight"}) {
    INFO(trained.err);
    CHECK(trained.err.find(part) != std::string::npos);
  }
  const auto evaluations = texts.records("eval");
  double best = 0;
  for (const Json& record : evaluations) best = std::max(best, record.at("accuracy").get<double>());
  CHECK(best > 0.9);

  const std::string run = texts.folder / "run";
  const Finished number = done(program("moe-eval") + Arguments{run, "--checkpoint", "best"});
  CHECK(std::stod(number.out) > 0.85);
  const Finished validation =
      done(program("moe-eval") + Arguments{run, "--checkpoint", "best", "--split", "validation", "--json"});
  CHECK(parse_json(validation.out).at("accuracy").get<double>() == Approx(best));
  const Finished json = done(program("moe-eval") + Arguments{run, "--json"});
  const auto parsed = parse_json(json.out);
  CHECK(parsed.at("tokens") == 80);
  // Neither batch size nor ranks change anything.
  const Finished other = done(program("moe-eval") + Arguments{run, "--json", "--batch", "7"});
  CHECK(parse_json(other.out).at("nll") == parsed.at("nll"));
  const Finished ranks = done(mpirun(2) + program("moe-eval") + Arguments{run, "--json", "--batch", "7"});
  CHECK(parse_json(ranks.out).at("nll").get<double>() == Approx(parsed.at("nll").get<double>()).epsilon(1e-6));

  const Finished report = done(program("moe-inspect") + Arguments{run});
  CHECK(report.out.find("accuracy") != std::string::npos);
  // Other texts with the same classes can be evaluated, texts with other classes cannot.
  fs::create_directory(texts.folder / "others");
  for (const char* part : {"train", "validation"}) {
    write_bytes(texts.folder / "others" + "/" + part + ".tsv", "praise\tgood\nscorn\tbad\n");
  }
  CHECK(run_child(program("moe-eval") + Arguments{run, "--data", texts.folder / "others"}).code == 3);
}

TEST_CASE("moe-few-shot compares language models by their frozen features of labelled texts", "[slow]") {
  const Texts texts;
  const Arguments few = program("moe-few-shot") + Arguments{texts.folder / "pretrained",
                                                            texts.folder / "pretrained",
                                                            "--labels",
                                                            "5,20",
                                                            "--draws",
                                                            "6",
                                                            "--data",
                                                            texts.folder / "texts",
                                                            "--json"};
  const Finished mean = done(few);
  const Json json = parse_json(mean.out);
  REQUIRE(json["runs"].size() == 2);
  CHECK(json["runs"][0]["results"] == json["runs"][1]["results"]);
  CHECK(json["runs"][0]["results"][1]["accuracy"].get<double>() > 0.6);
  CHECK(parse_json(done(few + Arguments{"--pooling", "last"}).out)["runs"] != json["runs"]);
  CHECK(run_child(program("moe-few-shot") + Arguments{texts.folder / "pretrained"}).code == 2);  // which samples?
  CHECK(run_child(few + Arguments{"--pooling", "class_token"}).code == 2);
  CHECK(run_child(program("moe-eval") + Arguments{texts.folder / "pretrained", "--noise", "0.1"}).code == 2);
}

TEST_CASE("a classifier whose last description of the samples is damaged goes on from the checkpoint before") {
  const Texts texts;
  done(texts.classify({"train.steps=40", "checkpoint.every=10", "evaluate.every=0", "checkpoint.keep_last=9"}));
  const std::string damaged = texts.last() + "/samples.json";
  for (const char* text : {"", "{}"}) {
    write_bytes(damaged, text);
    const Finished refused = run_child(texts.classify({"train.steps=50"}) + Arguments{"--resume", "must"});
    INFO(refused.err);
    CHECK(refused.code == 4);
    CHECK_THAT(refused.err, Catch::Contains(damaged) && Catch::Contains("The last good one is of step 30"));
  }
  const Finished resumed = done(texts.classify({"train.steps=50"}));
  CHECK_THAT(resumed.err, Catch::Contains("The run goes on from step 30"));
}

TEST_CASE("the checkpoint with the best accuracy is kept; ties go to the smallest loss", "[slow]") {
  const Texts texts;
  done(texts.classify({"train.steps=12e", "checkpoint.keep_last=1"}));
  double best = -1, loss = 0;
  int64_t best_step = 0;
  for (const Json& record : texts.records("eval")) {
    const double accuracy = record.at("accuracy"), nll = record.at("loss");
    const bool better = record.at("step").get<int64_t>() > 0 && (accuracy > best || (accuracy == best && nll < loss));
    CHECK(record.at("best") == better);
    if (better) best = accuracy, loss = nll, best_step = record.at("step");
  }
  CHECK(find_checkpoint(texts.folder / "run", "best").find(fmt::format("step_{:08}", best_step)) != std::string::npos);
}

static const Arguments kCurriculum = {
    "curriculum.sampler={kind: buckets, mix: {easy: 1, medium: 1, hard: 1}, pacing: {kind: auto, start: 0.3, over: 25, "
    "horizon: 3}, revisit: 0.2}",
    "curriculum.signals={loss: 1, entropy: 0.5, router_entropy: 0.1}"};

TEST_CASE("resumed fine-tuning equals uninterrupted fine-tuning, without its source", "[slow]") {
  const Texts texts;
  const Arguments fixed = kCurriculum + Arguments{"model.dropout=0.1", "evaluate.every=10", "checkpoint.every=10"};
  done(texts.classify(fixed + Arguments{"name=whole", "train.steps=40"}));
  done(texts.classify(fixed + Arguments{"name=parts", "train.steps=20"}));
  fs::rename(texts.folder / "pretrained", texts.folder / "elsewhere");
  Arguments again = texts.classify(fixed + Arguments{"name=parts", "train.steps=40"});
  for (std::string& argument : again) {
    if (argument == texts.folder / "pretrained/config.yaml") argument = texts.folder / "elsewhere/config.yaml";
  }
  const Finished resumed = done(again);
  CHECK(resumed.err.find("Resuming") != std::string::npos);
  CHECK(largest_difference(texts.last("whole"), texts.last("parts")) == 0);
  CHECK(metrics_difference(texts.folder / "whole", texts.folder / "parts") == "");
}

TEST_CASE("several ranks fine-tune like one", "[slow]") {
  const Texts texts;
  const Arguments some = kCurriculum + Arguments{"train.batch=7", "train.steps=40"};
  done(texts.classify(some));
  const auto expected = texts.records("train");
  for (const int ranks : {2, 4}) {
    const std::string name = fmt::format("ranks{}", ranks);
    done(mpirun(ranks) + texts.classify(some + Arguments{"name=" + name, "train.micro_batches=2"}));
    const auto found = texts.records("train", name);
    REQUIRE(found.size() == expected.size());
    for (size_t i = 0; i < found.size(); ++i) {
      // rounding, which training amplifies
      const double tolerance = i < 10 ? 1e-4 : 3e-2;
      CHECK(found[i].at("loss").get<double>() == Approx(expected[i].at("loss").get<double>()).epsilon(tolerance));
      CHECK(found[i].at("tokens") == expected[i].at("tokens"));
    }
  }
}

TEST_CASE("every pooling, and non-causal attention, can start from a language model", "[slow]") {
  const Texts texts;
  int i = 0;
  for (const Arguments& more : {Arguments{"model.pooling=mean"},
                                {"model.pooling=last", "model.head=linear"},
                                {"model.attention.causal=false"},
                                {"moe.router=expert_choice"},
                                {"data.labelled.keep=end", "data.sequence=8"}}) {
    INFO(i);
    const Finished result =
        run_child(texts.classify(more + Arguments{"train.steps=2", fmt::format("name=run{}", i++)}));
    INFO(result.err);
    // A router of another kind does not use what the language model's router learned.
    CHECK(result.code == 0);
  }
  // The same from another classifier: its head is kept when the classes are the same.
  done(texts.classify({"name=first", "train.steps=2"}));
  const Finished second =
      done(texts.classify({"name=second", "train.steps=2", "init.from=" + (texts.folder / "first")}));
  CHECK(second.err.find("fresh") == std::string::npos);
  write_bytes(texts.folder / "texts/train.tsv", "a\tgood\nb\tbad\nc\tlong\n");
  fs::remove(texts.folder / "texts/validation.tsv");
  fs::remove(texts.folder / "texts/test.tsv");
  const Finished third = done(texts.classify(
      {"name=third", "train.steps=2", "data.labelled.validation=1", "init.from=" + (texts.folder / "first")}));
  CHECK(third.err.find("fresh: class_token.weight") != std::string::npos);
}

TEST_CASE("invalid fine-tuning is refused with the right exit code", "[slow]") {
  const Texts texts;
  const auto refused = [&](const Arguments& more, int code, const std::string& message) {
    const Finished result = run_child(texts.classify(more + Arguments{"train.steps=1"}));
    INFO(result.err);
    CHECK(result.code == code);
    CHECK(result.err.find(message) != std::string::npos);
  };
  refused({"data.augment.flip=true"}, 2, "data.augment");
  refused({"sample.every=1"}, 2, "sample.every");
  refused({"data.labelled.format=idx"}, 3, "");
  refused({"init.from=" + (texts.folder / "nowhere")}, 4, "nowhere");
  refused({"model.d_model=24"}, 4, "");
  refused({"model.tie_embeddings=true"}, 2, "tie_embeddings");
  refused({"model.attention={causal: false, memory: 4}"}, 2, "memory");
  refused({"data.sequence=1"}, 2, "data.sequence");
  // A language model cannot start from a classifier.
  done(texts.classify({"train.steps=1"}));
  const Finished reverse =
      run_child(program("moe-train") +
                settings(texts.model() + Arguments{"name=reverse", "data.path=" + (texts.folder / "corpus"),
                                                   "init.from=" + (texts.folder / "run")}));
  INFO(reverse.err);
  CHECK(reverse.code == 2);
  // Letters that are not in the language model's training text.
  write_bytes(texts.folder / "texts/test.tsv", "praise\tGood!\n");
  refused({"name=letters"}, 3, "data.labelled.clean: text8");
  done(texts.classify({"name=letters", "train.steps=1", "data.labelled.clean=text8"}));
  write_bytes(texts.folder / "texts/test.tsv", "praise\tgood\nlove\tgood\n");
  refused({"name=unknown"}, 3, "test.tsv:2: the label 'love'");
}

TEST_CASE("texts can be classified from scratch too", "[slow]") {
  const Texts texts;
  for (const char* tokenizer : {"byte", "word"}) {
    const std::string name = std::string("scratch_") + tokenizer;
    const Finished result = done(
        program("moe-train") +
        settings(texts.model() + Arguments{"name=" + name, "task=classify", "data.path=" + (texts.folder / "texts"),
                                           std::string("data.labelled.tokenizer=") + tokenizer, "train.steps=10e",
                                           "evaluate.every=5e", "curriculum.signals={loss: 1}"}));
    INFO(result.err);
    CHECK(result.err.find(fmt::format("({})", tokenizer)) != std::string::npos);
    CHECK(texts.records("eval", name).back().at("accuracy").get<double>() > 0.6);
    const Finished hardest =
        done(program("moe-inspect") + Arguments{"curriculum", texts.folder / name, "--samples", "3"});
    CHECK((hardest.out.find("[praise] ") != std::string::npos || hardest.out.find("[blame] ") != std::string::npos));
    CHECK(std::stod(done(program("moe-eval") + Arguments{texts.folder / name}).out) > 0.5);
  }
  const Finished dry =
      done(program("moe-train") +
           settings(texts.model() + Arguments{"task=classify", "data.path=" + (texts.folder / "texts")}) +
           Arguments{"--dry-run"});
  CHECK(dry.out.find("tokens per step") != std::string::npos);
}
