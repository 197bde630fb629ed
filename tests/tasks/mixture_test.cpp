// Samples from several corpora, and of conversations.
#include <memory>
#include <string>
#include <vector>

#include "core/tasks/task.h"
#include "core/train/training_batches.h"
#include "data/chat_template.h"
#include "data/corpus_preparation.h"
#include "data/posix_file.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_run.h"

using namespace moe;

// Prepares a corpus of lines, each a document, and returns its folder.
static std::string corpus_of(const TemporaryFolder& folder, const std::string& name, char letter, int lines) {
  std::string text;
  for (int i = 0; i < lines; ++i) text += std::string(static_cast<size_t>(5 + i % 7), letter) + "\n";
  write_text_file(folder / (name + ".txt"), text);
  PreparationOptions options;
  options.inputs = {folder / (name + ".txt")};
  options.output = folder / name;
  options.entries = "lines";
  options.force = true;
  prepare_corpus(options);
  return options.output;
}

static TrainConfig mixed(const std::string& path, const std::string& mixture, const std::string& more = "") {
  return config_from(
      fmt::format("{{data: {{sequence: 8, path: {}, mixture: {}{}}}, train: {{batch: 10, steps: 20}}, model: {{layers: "
                  "1, d_model: 8, "
                  "attention: {{heads: 2}}}}, moe: {{experts: 2, d_ff: 8}}}}",
                  path, mixture, more));
}

TEST_CASE("a mixture's batches have the samples of its corpora in their shares") {
  const TemporaryFolder folder;
  const std::string a = corpus_of(folder, "a", 'a', 400), b = corpus_of(folder, "b", 'b', 200);
  for (const char* documents : {"joined", "separate", "fit"}) {
    INFO(documents);
    const TrainConfig config = mixed(a,
                                     fmt::format("{{with: [{}, {}], weights: [5, 3, 2], final_weights: [1, 0, 0], "
                                                 "change: {{kind: linear, from: 0, to: 1}}}}",
                                                 b, b),
                                     fmt::format(", documents: {}", documents));
    const std::unique_ptr<Task> task = open_task(config);
    task->check(config);
    REQUIRE(task->sources().size() == 3);
    CHECK(task->sources()[0].name == "a");
    CHECK(task->sources()[1].name == "b");
    CHECK(task->sources()[2].name == "b-2");
    CHECK(task->num_samples() == task->sources()[0].samples + task->sources()[1].samples + task->sources()[2].samples);
    CHECK(task->view(task->num_samples() - 1).text.find('b') != std::string::npos);
    CHECK(task->identity() != open_task(mixed(a, "{}", fmt::format(", documents: {}", documents)))->identity());
    CHECK(task->has_split("b-2/validation"));
    CHECK_FALSE(task->has_split("c/validation"));
    CHECK(task->content_hash("b/validation") != task->content_hash("validation"));
    CHECK(task->evaluation_set("b/validation", {})->num_tokens() > 0);

    Curriculum curriculum({.config = config.curriculum,
                           .samples = task->num_samples(),
                           .batch = 10,
                           .seed = 1,
                           .run = run_length(config, *task),
                           .data = task->samples()},
                          "");
    const ProcessGroups groups = ProcessGroups::single();
    TrainingBatches batches(config, *task, curriculum, run_length(config, *task), 0);
    for (const int64_t step : {0, 7, 19}) {
      const LocalBatch batch = batches.draw(step, *groups.world);
      int64_t counts[3] = {}, scored = 0;
      for (int64_t row = 0; row < 10; ++row) {
        const int32_t source = batch.domains[static_cast<size_t>(row)];
        ++counts[source];
        CHECK(batch.inputs[static_cast<size_t>(row * batch.time)] != (source == 0 ? 'b' : 'a'));
      }
      for (const int32_t target : batch.targets) scored += target != kIgnoreTarget;
      CHECK(scored == batch.global_tokens);
      if (step == 0) CHECK((counts[0] == 5 && counts[1] == 3));
      if (step == 19) CHECK(counts[0] >= 9);
    }
  }
}

TEST_CASE("impossible mixtures are refused") {
  const TemporaryFolder folder;
  const std::string a = corpus_of(folder, "a", 'a', 100), b = corpus_of(folder, "b", 'b', 100);
  const auto refused = [&](const std::string& mixture, const std::string& more = "") {
    const TrainConfig config = mixed(a, mixture, more);
    try {
      open_task(config)->check(config);
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string("accepted");
  };
  CHECK(refused(fmt::format("{{with: {}}}", b)) == "accepted");
  CHECK_THAT(refused(fmt::format("{{with: {}, weights: [1]}}", b)), Catch::Contains("1 weights of 2 corpora"));
  CHECK_THAT(refused(fmt::format("{{with: {}, weights: [1, -1]}}", b)), Catch::Contains("a weight of -1"));
  CHECK_THAT(refused(fmt::format("{{with: {}, final_weights: [0, 0]}}", b)), Catch::Contains("all weights are 0"));
  CHECK_THAT(refused(fmt::format("{{with: {}/nothing}}", folder.path())), Catch::Contains("nothing"));
  write_text_file(folder / "c.txt", std::string(1000, 'c'));
  PreparationOptions options;
  options.inputs = {folder / "c.txt"};
  options.output = folder / "c";
  options.tokenizer = "char";
  prepare_corpus(options);
  CHECK_THAT(refused(fmt::format("{{with: {}/c}}", folder.path())), Catch::Contains("another tokenizer"));
}

TEST_CASE("a step on conversations is divided by the tokens of the replies") {
  const TemporaryFolder folder;
  std::string lines;
  for (int i = 0; i < 200; ++i) {
    lines += fmt::format("{{\"prompt\": \"{}\", \"completion\": \"{}\"}}\n", std::string(5 + i % 9, 'p'),
                         std::string(1 + i % 4, 'c'));
  }
  write_text_file(folder / "chats.jsonl", lines);
  PreparationOptions options;
  options.inputs = {folder / "chats.jsonl"};
  options.output = folder / "chats";
  options.field.chat = std::make_shared<const ChatTemplate>("plain");
  prepare_corpus(options);
  for (const char* documents : {"joined", "separate", "fit"}) {
    INFO(documents);
    const TrainConfig config = mixed(folder / "chats", "{}", fmt::format(", documents: {}", documents));
    const std::unique_ptr<Task> task = open_task(config);
    const std::vector<SampleVisit> visits{{0, 0}, {3, 0}, {7, 1}};
    const SampleExtent extent = task->extent(visits);
    Batch batch;
    task->load(visits, extent.time, batch);
    int64_t scored = 0;
    for (size_t place = 0; place < batch.targets.size(); ++place) {
      const int32_t target = batch.targets[place];
      scored += target != kIgnoreTarget;
      CHECK((target == kIgnoreTarget || target == 'c'));
    }
    CHECK(scored > 0);
    CHECK(scored == extent.tokens);
    CHECK(task->tokens_per_sample() < 8);
  }
}
