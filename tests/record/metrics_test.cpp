#include "core/record/metrics.h"

#include <filesystem>

#include "core/base/error.h"
#include "core/base/json_text.h"
#include "core/base/metric_keys.h"
#include "core/checkpoint/files.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"

using namespace moe;
namespace fs = std::filesystem;

// The records "type step" of a file.
static std::string records_in(const std::string& path) {
  std::string result;
  for (const std::string& line : split(read_text(path), '\n')) {
    if (line.empty()) continue;
    const Json record = parse_json(line);
    result += record.at("type").get<std::string>() + " " + json_text(record.at("step")) + ", ";
  }
  return result;
}

TEST_CASE("a resumed run keeps the records that it will not write again") {
  TemporaryFolder folder;
  const std::string path = folder / "metrics.jsonl";
  const auto write = [&] {
    MetricsFile file(path, std::nullopt);
    file.write("init", 0, {{"kind", "clusters"}});
    file.write("eval", 0, {{"loss", 1}});
    file.write("lifecycle", 0, {{"kind", "grow"}});
    file.write("train", 1, {{"loss", 1}});
    file.write("alarm", 1, {{"layer", 0}});
    file.write("lifecycle", 1, {{"kind", "restart"}, {metric_keys::kCause, metric_keys::kAlarm}});
    file.write("sample", 1, {{"text", "x"}});
    file.write("eval", 1, {{"loss", 1}});
    file.write("lifecycle", 1, {{"kind", "grow"}});
    file.write("train", 2, {{"loss", 1}});
    file.write("stopped", 2, {{"reason", "patience"}});
  };
  const auto resumed = [&](int64_t step, bool finished, int64_t lifecycle = 0, bool alarm = false) {
    write();
    MetricsFile file(path, ResumedRecords{step, finished, lifecycle, alarm});
    return records_in(path);
  };
  CHECK(resumed(2, true).ends_with("train 2, "));  // it stops again, or has more patience now
  CHECK(resumed(1, true) == "init 0, eval 0, lifecycle 0, train 1, alarm 1, lifecycle 1, sample 1, eval 1, ");
  CHECK(resumed(1, false) == "init 0, eval 0, lifecycle 0, train 1, alarm 1, lifecycle 1, ");
  CHECK(resumed(0, true) == "init 0, eval 0, ");
  CHECK(resumed(0, false) == "init 0, ");
  CHECK(resumed(1, true, 1).ends_with("sample 1, eval 1, lifecycle 1, "));  // a change that the checkpoint has
  CHECK(resumed(0, true, 1) == "init 0, eval 0, lifecycle 0, ");
  CHECK(resumed(1, false, 0, true) == "init 0, eval 0, lifecycle 0, train 1, alarm 1, ");
  write();
  MetricsFile file(path, std::nullopt);
  CHECK(records_in(path).empty());
}

TEST_CASE("a file of records that was removed or is a link is an error") {
  TemporaryFolder folder;
  const std::string path = folder / "metrics.jsonl";
  MetricsFile file(path, std::nullopt);
  file.write("train", 1, {{"loss", 1}});
  fs::remove(path);
  CHECK_THROWS_WITH(file.write("train", 2, {{"loss", 1}}), Catch::Contains("is gone"));
  write_text_synced(path, "");  // another file in its place
  CHECK_THROWS_AS(file.write("train", 2, {{"loss", 1}}), CheckpointError);
  fs::create_symlink(path, folder / "link");
  CHECK_THROWS_AS(MetricsFile(folder / "link", std::nullopt), CheckpointError);
}
