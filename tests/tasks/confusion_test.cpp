#include "core/evaluate/confusion.h"

#include "core/evaluate/evaluator.h"
#include "core/tasks/task.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_images.h"
#include "tests/support/tiny_run.h"

using namespace moe;

TEST_CASE("the confusion matrix of an evaluation counts every sample once, and its diagonal the correct ones") {
  const TemporaryFolder folder;
  test::write_idx_folder(folder.path(), test::bright_quarters(20, 8, 1), test::bright_quarters(11, 8, 2));
  const TrainConfig config = config_from(fmt::format(
      "{{task: classify, model: {{layers: 1, d_model: 16, init_std: 0.5, attention: {{heads: 2}}}}, moe: {{experts: 2, "
      "d_ff: 8}}, train: {{batch: 3}}, data: {{path: {}, labelled: {{validation: 1}}}}}}",
      folder.path()));
  const std::unique_ptr<Task> task = open_task(config);
  const ProcessGroups groups = ProcessGroups::single();
  const StateSetup setup{.config = config, .sample = task->shape(), .groups = groups, .run = run_length(config, *task)};
  TrainingState state(setup, plan_memory(setup), true);
  const auto set = task->evaluation_set("test", {});
  const std::vector<std::string> names = task->class_names();
  REQUIRE(names.size() == 4);
  Confusion confusion(state, 4);
  const Evaluation evaluation =
      evaluate(state, groups, *set, 3, [&](int64_t, const Outcome& outcome) { confusion.add(outcome); });
  const ConfusionCounts counts = confusion.counts(*groups.world);
  int64_t all = 0, correct = 0;
  for (size_t label = 0; label < 4; ++label) {
    int64_t samples = 0;
    for (const int64_t count : counts[label]) samples += count;
    CHECK(samples == (label < 3 ? 3 : 2));  // classes in turn
    all += samples, correct += counts[label][label];
  }
  CHECK(all == 11);
  CHECK(static_cast<double>(correct) == evaluation.correct);
}

TEST_CASE("reports by class have the accuracy and the most frequent mistake") {
  const ConfusionCounts counts{{3, 1, 0}, {0, 0, 0}, {2, 1, 7}};
  const std::vector<std::string> names{"a", "b", "c"};
  const std::string text = confusion_text(counts, names);
  CHECK_THAT(text, Catch::Contains("75.00%  a, 1 taken for b") && Catch::Contains("70.00%  c, 2 taken for a"));
  CHECK_THAT(text, !Catch::Contains("  b\n"));
  const Json json = confusion_json(counts, names);
  CHECK(json.at("accuracy")[0] == 0.75);
  CHECK(json.at("accuracy")[1].is_null());
  CHECK(json.at("confusion")[2][2] == 7);
}
