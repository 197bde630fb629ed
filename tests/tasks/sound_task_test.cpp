// What a checkpoint says of the sounds that its model was trained on.
#include "core/tasks/sound_task.h"

#include <algorithm>
#include <filesystem>

#include "core/base/error.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_run.h"
#include "tests/support/tiny_sounds.h"

using namespace moe;

static TrainConfig config_for(const std::string& path, const std::string& more = "") {
  return config_from(
      fmt::format("{{task: classify, model: {{patch_frames: 5, patch_bands: 8, pooling: class_token}}, data: {{path: "
                  "{}, audio: {{rate: "
                  "8000, seconds: 0.2, bands: 16{}}}}}}}",
                  path, more));
}

TEST_CASE("a description of sounds rebuilds the model's shape, and opens the same sounds alone") {
  const TemporaryFolder folder;
  test::write_sound_folders(folder / "a", 6, 1);
  test::write_sound_folders(folder / "b", 6, 2);
  const TrainConfig config = config_for(folder / "a");
  const std::unique_ptr<Task> task = open_task(config);
  const Json description = task->description();
  const SampleShape shape = sound_shape(config, description, "origin"), own = task->shape();
  CHECK(shape.time == 1 + 8);
  CHECK(shape.patches == 8);
  CHECK(shape.features == 40);
  CHECK(shape.classes == 3);
  CHECK((shape.time == own.time && shape.features == own.features && shape.classes == own.classes));

  // Other sounds are normalised as the model's training sounds were.
  const TrainConfig other = config_for(folder / "b");
  const Json trained = open_sound_task(other, "sound_folders", &description, "origin")->description();
  CHECK(trained.at("mean") == description.at("mean"));
  CHECK(trained.at("scale") == description.at("scale"));
  CHECK(open_task(other)->description().at("mean") != description.at("mean"));
  CHECK(open_task(other)->identity() != task->identity());

  const auto refused = [&](const std::string& more) {
    CHECK_THROWS_AS(open_sound_task(config_for(folder / "a", more), "sound_folders", &description, "origin"),
                    DataError);
  };
  refused(", hop: 5");
  refused(", range: 60");
  refused(", window: 30");
  std::filesystem::rename(folder / "b/low", folder / "b/lower");
  test::write_sound_folders(folder / "b", 6, 2);  // now there are four classes
  CHECK_THROWS_AS(open_sound_task(other, "sound_folders", &description, "origin"), DataError);
}

TEST_CASE("a damaged description of sounds is refused with its file") {
  const TemporaryFolder folder;
  test::write_sound_folders(folder.path(), 6);
  const TrainConfig config = config_for(folder.path());
  const Json good = open_task(config)->description();
  for (const char* key : {"kind", "frames", "bands", "classes", "mean", "scale", "rate", "range"}) {
    INFO(key);
    Json without = good;
    without.erase(key);
    CHECK_THROWS_WITH(sound_shape(config, without, "samples.json"), Catch::Contains("samples.json"));
    Json wrong = good;
    wrong[key] = nullptr;
    CHECK_THROWS_AS(sound_shape(config, wrong, "samples.json"), CheckpointError);
  }
  Json none = good;
  none["frames"] = 0;
  CHECK_THROWS_AS(sound_shape(config, none, "samples.json"), CheckpointError);
}

TEST_CASE("a sound is shown as its spectrogram, and its patches as a grid of time and frequency") {
  const TemporaryFolder folder;
  test::write_sound_folders(folder.path(), 12);
  const std::unique_ptr<Task> task = open_task(config_for(folder.path()));
  CHECK(task->class_names() == std::vector<std::string>{"high", "low", "mid"});
  const std::optional<SampleGrid> grid = task->grid();
  REQUIRE(grid);
  CHECK((grid->leading == 1 && grid->rows == 2 && grid->columns == 4));
  for (int64_t i = 0; i < 8; ++i) {
    const SampleView view = task->view(i);
    CHECK((view.channels == 1 && view.height == 16 && view.width == 20));
    REQUIRE(view.pixels.size() == 320);
    // The loudest value of a high tone is near the upper edge.
    const auto row = (std::max_element(view.pixels.begin(), view.pixels.end()) - view.pixels.begin()) / 20;
    CHECK((view.text == "high") == (row < 3));
    CHECK((view.text == "low") == (row > 10));
  }
}
