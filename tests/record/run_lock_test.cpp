#include "core/record/run_lock.h"

#include <cerrno>
#include <chrono>
#include <filesystem>
#include <fstream>

#include "core/base/error.h"
#include "core/base/json_text.h"
#include "core/checkpoint/files.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"

using namespace moe;
namespace fs = std::filesystem;

static int no_locks(int, bool) {
  return ENOLCK;
}

TEST_CASE("a run's folder is locked once, and free again afterwards") {
  TemporaryFolder folder;
  const std::string run = folder / "run";
  {
    const RunLock lock(run);
    lock.require_folder();
    const Json record = parse_json(read_text(run + "/lock"));
    for (const char* key : {"host", "process", "started", "command"}) CHECK(record.contains(key));
    CHECK_THROWS_AS(RunLock(run), CheckpointError);
    CHECK_THROWS_WITH(RunLock(run + "/"), Catch::Contains("is in use by process") && Catch::Contains("test_record"));
    CHECK(fs::exists(run + "/lock"));  // the refused process leaves it
    write_text_synced(run + "/content", "");
  }
  CHECK(fs::exists(run + "/content"));
  CHECK_FALSE(fs::exists(run + "/lock"));
  const RunLock again(run);
}

TEST_CASE("a lock that nothing was written beside leaves no trace") {
  TemporaryFolder folder;
  { const RunLock lock(folder / "runs/deep/run"); }
  CHECK_FALSE(fs::exists(folder / "runs"));
  fs::create_directories(folder / "mine");
  { const RunLock lock(folder / "mine"); }
  CHECK(fs::exists(folder / "mine"));
}

TEST_CASE("the file of a process that was killed is no lock") {
  TemporaryFolder folder;
  for (const char* text : {"", "{\"host\": \"here\", \"process\": 1}", "no JSON"}) {
    write_text_synced(folder / "lock", text);
    const RunLock lock(folder.path());
    CHECK(parse_json(read_text(folder / "lock")).contains("command"));
  }
}

TEST_CASE("without the file system's locks only a young record is one") {
  TemporaryFolder folder;
  const std::string file = folder / "lock", record = R"({"host": "far", "process": 7, "started": "?", "command": "x"})";
  write_text_synced(file, record);
  CHECK_THROWS_WITH(RunLock(folder.path(), no_locks), Catch::Contains("in use by process 7 on far since ? (x)"));
  CHECK(read_text(file) == record);
  fs::last_write_time(file, fs::file_time_type::clock::now() - std::chrono::seconds(90));
  {
    const RunLock lock(folder.path(), no_locks);
    CHECK(read_text(file) != record);
    CHECK_THROWS_AS(RunLock(folder.path(), no_locks), CheckpointError);
  }
  CHECK_FALSE(fs::exists(file));
  CHECK(fs::is_empty(folder.path()));
}

TEST_CASE("a folder that was removed, renamed or replaced is noticed, and another's lock is left alone") {
  TemporaryFolder folder;
  const std::string run = folder / "run";
  {
    const RunLock lock(run);
    fs::rename(run, folder / "elsewhere");
    CHECK_THROWS_WITH(lock.require_folder(), Catch::Contains("is gone"));
    fs::create_directories(run);
    CHECK_THROWS_AS(lock.require_folder(), CheckpointError);
    write_text_synced(run + "/lock", "another's");
  }
  CHECK(read_text(run + "/lock") == "another's");
}

TEST_CASE("the file of the lock is not written through a link") {
  TemporaryFolder folder;
  write_text_synced(folder / "target", "precious");
  fs::create_directories(folder / "run");
  fs::create_symlink(folder / "target", folder / "run/lock");
  CHECK_THROWS_AS(RunLock(folder / "run"), CheckpointError);
  CHECK(read_text(folder / "target") == "precious");
}

TEST_CASE("whether a run is in use can be asked without holding its lock") {
  const TemporaryFolder folder;
  CHECK_FALSE(is_run_in_use(folder / "absent"));
  {
    const RunLock lock(folder / "run");
    CHECK(is_run_in_use(folder / "run"));
    CHECK(is_run_in_use(folder / "run"));
  }
  CHECK_FALSE(is_run_in_use(folder / "run"));
  std::filesystem::create_directories(folder / "killed");
  std::ofstream(folder / "killed/lock") << "{}";
  CHECK_FALSE(is_run_in_use(folder / "killed"));
  const RunLock next(folder / "killed");
}
