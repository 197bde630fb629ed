#include "core/inspect/watch.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/base/text.h"
#include "core/inspect/watch_loop.h"
#include "tests/inspect/sample_comparison.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"

using namespace moe;

// Columns of a line of UTF-8 text.
static int64_t columns_of(const std::string& line) {
  return std::count_if(line.begin(), line.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; });
}

TEST_CASE("a sparkline has a block for each value, or for the mean of several") {
  CHECK(sparkline(std::vector{0.0, 1.0, 2.0, 7.0}, 10) == "▁▂▃█");
  CHECK(sparkline(std::vector<double>{0, NAN, 7}, 10) == "▁█");
  CHECK(sparkline(std::vector{0.0, 0.0, 6.0, 8.0}, 2) == "▁█");
  CHECK(columns_of(sparkline(std::vector{3.0, 3.0, 3.0}, 10)) == 3);
  CHECK(sparkline({}, 10).empty());
}

TEST_CASE("bars of loads are in the order of the experts, or sorted when there are more than columns") {
  const Painter plain(false);
  CHECK(load_bars(std::vector{0.0, 1.0, 2.0, 3.0}, 8, plain) == "×▄██");
  CHECK(load_bars(std::vector{0.0, 0.0, 2.0, 2.0}, 2, plain) == "█×");
  CHECK(load_bars(std::vector{0.0}, 8, Painter(true)) == "\x1b[31m×\x1b[0m");
}

TEST_CASE("the screen of a watched run") {
  TemporaryFolder folder;
  SampleFolder sample;
  sample.metrics = sample.metrics.substr(0, sample.metrics.find("{\"type\":\"train\",\"step\":20"));
  sample.metrics +=
      R"({"type":"train","step":16,"tokens":1024,"loss":2.5,"bpc":3.25,"ms":30,"norm":0.5,"load":[[0.5,0.5,0,0],[1,0,0,0]]})"
      "\n{\"type\":\"train\",\"step\":17,\"lo";  // a line that is being written
  sample.write(folder.path(), "a-seed1");
  const WatchedRun run = read_watched_run(folder / "a-seed1");
  CHECK_FALSE(run.is_over());
  const std::string screen = watch_screen(run, 70, 24, Painter(false));
  CHECK_THAT(screen, Catch::Contains("step 16/20 (80 %)"));
  CHECK_THAT(screen, Catch::Contains("last record"));
  CHECK_THAT(screen, Catch::Contains("   0 ██××  max 2.00x the mean, 2 dead"));
  CHECK_THAT(screen, Catch::Contains("   1 █×××  max 4.00x the mean, 3 dead"));
  CHECK_THAT(screen, Catch::Contains("best evaluation: 1.5000 bpc at step 10"));
  // The first line has the folder's name, which may be long.
  const std::vector<std::string> lines = split(screen, '\n');
  for (size_t i = 1; i < lines.size(); ++i) CHECK(columns_of(lines[i]) <= 70);
}

TEST_CASE("a watched run is over at its end, when it stopped and when it diverged") {
  TemporaryFolder folder;
  SampleFolder sample;
  sample.write(folder.path(), "a-seed1");
  CHECK(read_watched_run(folder / "a-seed1").is_over());
  const std::string whole = sample.metrics;
  const std::string part = whole.substr(0, whole.find("{\"type\":\"train\",\"step\":20"));
  sample.metrics = part + "{\"type\":\"stopped\",\"step\":15,\"reason\":\"patience\"}\n";
  sample.write(folder.path(), "a-seed1");
  CHECK_THAT(watch_screen(read_watched_run(folder / "a-seed1"), 80, 24, Painter(false)),
             Catch::Contains("stopped early at step 15"));
  sample.metrics = part + "{\"type\":\"diverged\",\"step\":16}\n";
  sample.write(folder.path(), "a-seed1");
  CHECK(read_watched_run(folder / "a-seed1").is_over());
}

TEST_CASE("a run that has not begun can be watched, and what is no run is an error") {
  TemporaryFolder folder;
  CHECK_THROWS_AS(read_watched_run(folder.path()), CheckpointError);
  CHECK_THROWS_AS(watch_run(folder / "absent", 1, true), CheckpointError);
  std::ofstream(folder / "config.yaml") << "seed: 1\n";
  const WatchedRun run = read_watched_run(folder.path());
  CHECK_FALSE(run.is_over());
  CHECK_THAT(watch_screen(run, 80, 24, Painter(false)), Catch::Contains("no update yet"));
}

TEST_CASE("of many layers a watched run shows those with the largest imbalance") {
  WatchedRun run{.folder = "x"};
  TrainPoint point;
  point.step = 1;
  for (int layer = 0; layer < 60; ++layer) point.load.push_back({0.5, 0.5});
  point.load[37] = {0.75, 0.25};
  run.history.train.push_back(point);
  const std::string screen = watch_screen(run, 80, 24, Painter(false));
  CHECK_THAT(screen, Catch::Contains("  37 "));
  CHECK_THAT(screen, Catch::Contains("of 60 layers"));
  CHECK(std::count(screen.begin(), screen.end(), '\n') <= 24);
}
