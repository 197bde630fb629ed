// The folder of a run's checkpoints: what counts as one, and what is left of interrupted processes.
#include <atomic>
#include <filesystem>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

#include "core/base/check.h"
#include "core/checkpoint/checkpoint.h"
#include "core/checkpoint/files.h"
#include "tests/checkpoint/rank_state.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/thread_ranks.h"

using namespace moe;
using namespace moe::test;
namespace fs = std::filesystem;

TEST_CASE("only complete checkpoints count") {
  TemporaryFolder folder;
  const CheckpointFolder checkpoints(folder.path());
  CHECK_FALSE(checkpoints.last());
  CHECK(CheckpointFolder(folder / "absent").steps().empty());
  save(checkpoints, run_at(5));
  save(checkpoints, run_at(10));
  // The remains of a killed process: the temporary folder, a renamed one without COMPLETE, and unrelated entries.
  fs::copy(checkpoints.path(10), checkpoints.path(15) + ".tmp", fs::copy_options::recursive);
  fs::copy(checkpoints.path(10), checkpoints.path(20), fs::copy_options::recursive);
  fs::remove(checkpoints.path(20) + "/COMPLETE");
  fs::create_directories(folder / "step_x");
  write_text_synced(folder / "step_x/COMPLETE", "");
  fs::create_directories(folder / "step_00000030x");
  write_text_synced(folder / "step_00000030x/COMPLETE", "");
  CHECK(checkpoints.steps() == std::vector<int64_t>{5, 10});
  CHECK(checkpoints.last() == 10);

  // The same steps are saved again over the remains.
  save(checkpoints, run_at(15));
  save(checkpoints, run_at(20));
  CHECK(checkpoints.steps() == std::vector<int64_t>{5, 10, 15, 20});
  CHECK_FALSE(fs::exists(checkpoints.path(15) + ".tmp"));
}

TEST_CASE("a failed save leaves other checkpoints as they are, and no partial one") {
  TemporaryFolder folder;
  const CheckpointFolder checkpoints(folder.path());
  save(checkpoints, run_at(5));
  const ProcessGroups groups = ProcessGroups::single();
  RankState state(groups);
  CHECK_THROWS_AS(checkpoints.save(run_at(6), state.parameters, *state.optimizer, groups, {{"absent/config.yaml", ""}}),
                  CheckpointError);
  CHECK(checkpoints.steps() == std::vector<int64_t>{5});
  CHECK_FALSE(fs::exists(checkpoints.path(6)));
  CHECK_FALSE(fs::exists(checkpoints.path(6) + ".tmp"));
}

TEST_CASE("pruning keeps the newest and the best") {
  TemporaryFolder folder;
  const CheckpointFolder checkpoints(folder.path());
  CHECK_FALSE(checkpoints.best());
  for (const int64_t step : {1, 2, 3, 4, 100000000}) save(checkpoints, run_at(step));
  checkpoints.mark_best(2);
  CHECK(checkpoints.best() == 2);
  checkpoints.prune(3, true);
  CHECK(checkpoints.steps() == std::vector<int64_t>{2, 3, 4, 100000000});
  checkpoints.prune(9, false);
  CHECK(checkpoints.steps().size() == 4);
  checkpoints.prune(1, false);
  CHECK(checkpoints.steps() == std::vector<int64_t>{100000000});
  CHECK_FALSE(checkpoints.best());  // marked, but deleted
  CHECK_FALSE(fs::exists(checkpoints.path(2)));
}

TEST_CASE("find_checkpoint takes a run, a step or a folder, and its error lists what exists") {
  TemporaryFolder folder;
  const CheckpointFolder checkpoints(folder / "checkpoints");
  CHECK_THROWS_WITH(find_checkpoint(folder.path(), "last"), Catch::Contains("no complete checkpoint"));
  CHECK_THROWS_AS(find_checkpoint(folder / "absent", "last"), CheckpointError);
  fs::create_directories(folder / "checkpoints");
  save(checkpoints, run_at(5));
  save(checkpoints, run_at(10));
  CHECK(find_checkpoint(folder.path(), "last") == checkpoints.path(10));
  CHECK(find_checkpoint(folder.path() + "/", "last") == checkpoints.path(10));
  CHECK_THROWS_WITH(find_checkpoint(folder.path(), "best"),
                    Catch::Contains("has no checkpoint of the best evaluation"));
  checkpoints.mark_best(5);
  CHECK(find_checkpoint(folder.path(), "best") == checkpoints.path(5));
  CHECK(find_checkpoint(folder.path(), "5") == checkpoints.path(5));
  CHECK(find_checkpoint(checkpoints.path(5), "last") == checkpoints.path(5));
  CHECK_THROWS_WITH(find_checkpoint(folder.path(), "7"), Catch::Contains("5, 10"));
  CHECK_THROWS_AS(find_checkpoint(folder.path(), "newest"), UsageError);
  fs::remove(checkpoints.path(10) + "/COMPLETE");
  CHECK_THROWS_WITH(find_checkpoint(checkpoints.path(10), "last"), Catch::Contains("has no file COMPLETE"));
}

TEST_CASE("a folder of checkpoints that cannot be listed is an error, one that is not there is empty") {
  TemporaryFolder folder;
  CHECK(CheckpointFolder(folder / "none").steps().empty());
  replace_text(folder / "file", "no folder");
  CHECK_THROWS_WITH(CheckpointFolder(folder / "file").steps(), Catch::Contains("cannot list the checkpoints"));
  CHECK_THROWS_AS(CheckpointFolder(folder / "file").last(), CheckpointError);
}

TEST_CASE("what interrupted processes left is removed, and nothing else") {
  TemporaryFolder folder;
  const CheckpointFolder checkpoints(folder.path());
  for (const int64_t step : {5, 10, 15}) save(checkpoints, run_at(step));
  fs::remove(checkpoints.path(10) + "/COMPLETE");  // killed while it was removed
  fs::create_directories(checkpoints.path(20) + ".tmp/deeper");
  for (const char* other : {"step_7.bak", "step_x", "mine.tmp"}) fs::create_directories(folder / other);
  CHECK(checkpoints.remains() == std::vector<std::string>{checkpoints.path(10), checkpoints.path(20) + ".tmp"});
  const std::string aside = checkpoints.set_aside(15);
  checkpoints.remove_remains();
  CHECK(checkpoints.remains().empty());
  CHECK(checkpoints.steps() == std::vector<int64_t>{5});
  CHECK(fs::exists(aside + "/state.json"));
  for (const char* other : {"step_7.bak", "step_x", "mine.tmp"}) CHECK(fs::exists(folder / other));
}

TEST_CASE("a file BEST that names no step is no best checkpoint") {
  TemporaryFolder folder;
  const CheckpointFolder checkpoints(folder.path());
  CHECK_FALSE(checkpoints.best_is_damaged());
  save(checkpoints, run_at(0));
  for (const char* text : {"", "\n", "many", "5 5", "-"}) {
    write_text_synced(folder / "BEST", text);
    INFO(text);
    CHECK_FALSE(checkpoints.best());
    CHECK(checkpoints.best_is_damaged());
  }
  checkpoints.mark_best(0);
  CHECK(checkpoints.best() == 0);
  CHECK_FALSE(checkpoints.best_is_damaged());
}

TEST_CASE("a failure of one rank to write ends all ranks with its reason") {
  TemporaryFolder folder;
  const CheckpointFolder checkpoints(folder.path());
  save(checkpoints, run_at(5), 2, 2);
  std::vector<std::string> reasons(2);
  test::run_ranks(2, [&](const std::shared_ptr<Communicator>& world) {
    const ProcessGroups groups = groups_of(world->rank(), 2, 2, world);
    RankState state(groups);
    RankTensors tensors;
    // The second rank writes into a folder that is not there.
    if (world->rank() == 1) tensors = {"absent/memory", {{"x", state.parameters.buffer(ParameterGroup::shared).value}}};
    try {
      checkpoints.save(run_at(6), state.parameters, *state.optimizer, groups, {}, tensors);
    } catch (const CheckpointError& error) {
      reasons[static_cast<size_t>(world->rank())] = error.what();
    }
  });
  CHECK_THAT(reasons[0], Catch::Contains("absent/memory") && Catch::Contains("reported by rank 1 of 2"));
  CHECK_THAT(reasons[1], Catch::Contains("absent/memory"));
  CHECK(checkpoints.steps() == std::vector<int64_t>{5});
  CHECK(checkpoints.remains().empty());
}

TEST_CASE("a checkpoint is not written into a folder that was removed") {
  TemporaryFolder folder;
  const CheckpointFolder checkpoints(folder / "gone");
  CHECK_THROWS_WITH(save(checkpoints, run_at(1)), Catch::Contains("is gone"));
  CHECK_FALSE(fs::exists(folder / "gone"));
}

TEST_CASE("a checkpoint is not written into a folder that took the place of the run's, before the save or during it") {
  const int ranks = GENERATE(1, 2);
  TemporaryFolder folder;
  const std::string path = folder / "checkpoints", other = folder / "other";
  fs::create_directory(path);
  const CheckpointFolder checkpoints(path);
  CHECK_THROWS_WITH(save(checkpoints, run_at(1), ranks, 1, [] { raise<CheckpointError>("another folder"); }),
                    Catch::Contains("another folder"));
  CHECK(fs::is_empty(path));
  const auto replace = [&] {
    fs::rename(path, other);
    fs::create_directory(path);
  };
  CHECK_THROWS_AS(save(checkpoints, run_at(1), ranks, 1, replace), CheckpointError);
  CHECK(fs::is_empty(path));
  CHECK(CheckpointFolder(other).steps().empty());
}

TEST_CASE("a checkpoint that cannot be looked into is an error of the checkpoint") {
  TemporaryFolder folder;
  const CheckpointFolder checkpoints(folder.path());
  save(checkpoints, run_at(1));
  fs::remove(checkpoints.path(1) + "/COMPLETE");
  fs::create_symlink("COMPLETE", checkpoints.path(1) + "/COMPLETE");  // a link to itself cannot be followed
  CHECK_THROWS_AS(checkpoints.steps(), CheckpointError);
  CHECK_THROWS_AS(find_checkpoint(checkpoints.path(1), "last"), CheckpointError);
}

TEST_CASE("a file that many write at once holds the whole text of one, and nothing is left beside it") {
  TemporaryFolder folder;
  const std::string path = folder / "shared";
  std::atomic<int> failures = 0;
  std::vector<std::thread> writers;
  for (int writer = 0; writer < 4; ++writer) {
    writers.emplace_back([&, writer] {
      for (int i = 0; i < 50; ++i) {
        try {
          replace_shared_text(path, std::string(1000, static_cast<char>('a' + writer)));
        } catch (const CheckpointError&) {
          ++failures;
        }
      }
    });
  }
  for (std::thread& writer : writers) writer.join();
  CHECK(failures == 0);
  const std::string text = read_text(path);
  CHECK(text == std::string(1000, text.at(0)));
  CHECK(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator()) == 1);
  // A move that fails leaves nothing either.
  fs::create_directories(folder / "taken/inside");
  CHECK_THROWS_AS(replace_shared_text(folder / "taken", "text"), CheckpointError);
  CHECK(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator()) == 2);
}

TEST_CASE("files are not written through links") {
  TemporaryFolder folder;
  write_text_synced(folder / "target", "precious");
  fs::create_symlink(folder / "target", folder / "x.tmp");
  replace_text(folder / "x", "new");
  CHECK(read_text(folder / "x") == "new");
  CHECK(read_text(folder / "target") == "precious");
  fs::create_symlink(folder / "target", folder / "y");
  write_text_synced(folder / "y", "new");
  CHECK(read_text(folder / "target") == "precious");
}
