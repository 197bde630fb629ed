#include "core/evaluate/sample_features.h"

#include <fmt/core.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "core/tasks/task.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_images.h"
#include "tests/support/tiny_run.h"

using namespace moe;

static void check_subset(const TrainConfig& config, const std::vector<int64_t>& members) {
  const std::unique_ptr<Task> task = open_task(config);
  const ProcessGroups groups = ProcessGroups::single();
  const StateSetup setup{.config = config, .sample = task->shape(), .groups = groups, .run = run_length(config, *task)};
  TrainingState state(setup, plan_memory(setup), true);
  const auto set = task->evaluation_set("train", {});
  const SampleFeatures all = sample_features(state, groups, *set, 3);
  REQUIRE(all.samples() == set->num_sequences());
  CHECK(sample_labels(*set) == all.labels);
  const SampleFeatures some = sample_features(state, groups, SampleSubset(*set, members), 3);
  REQUIRE(some.samples() == std::ssize(members));
  REQUIRE(some.width == all.width);
  for (size_t i = 0; i < members.size(); ++i) {
    const auto from = static_cast<size_t>(members[i] * all.width), to = i * static_cast<size_t>(all.width);
    CHECK(some.labels[i] == all.labels[static_cast<size_t>(members[i])]);
    for (size_t d = 0; d < static_cast<size_t>(all.width); ++d) CHECK(some.rows[to + d] == all.rows[from + d]);
  }
}

TEST_CASE("the features of some samples are those of all samples at their places, for images and for texts") {
  const TemporaryFolder folder;
  const std::string images = folder / "images", texts = folder / "texts";
  std::filesystem::create_directory(images);
  std::filesystem::create_directory(texts);
  test::write_idx_folder(images, test::bright_quarters(20, 8, 1), test::bright_quarters(8, 8, 2));
  std::string lines;
  for (int i = 0; i < 14; ++i)
    lines += fmt::format("{}\t{}\n", i % 2 == 0 ? "even" : "odd", std::string(1 + i % 9, 'x'));
  test::write_bytes(texts + "/train.tsv", lines);
  const auto config = [](const std::string& path) {
    return config_from(fmt::format(
        "{{task: classify, model: {{layers: 1, d_model: 16, pooling: mean, init_std: 0.5, attention: {{heads: 2}}}}, "
        "moe: {{experts: 2, d_ff: 8}}, train: {{batch: 3}}, data: {{sequence: 12, path: {}, labelled: {{validation: "
        "2}}}}}}",
        path));
  };
  check_subset(config(images), {0, 3, 4, 11, 17});
  check_subset(config(texts), {1, 2, 7, 10});
}
