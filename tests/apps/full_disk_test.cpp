#include <fcntl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>

#include "core/checkpoint/checkpoint.h"
#include "tests/apps/compare_runs.h"
#include "tests/apps/programs.h"
#include "tests/support/catch.h"

using namespace moe;
namespace fs = std::filesystem;

// The earlier checkpoint still loads, and the run ends like one that never had a full disk.
static void check_recovery(const std::string& folder, const Arguments& settings) {
  TemporaryFolder straight;
  const Finished continued = run_child(tiny_train(folder, settings) + Arguments{"--resume", "must"});
  INFO(continued.err);
  REQUIRE(continued.code == 0);
  REQUIRE(run_child(tiny_train(straight.path(), settings)).code == 0);
  CHECK(largest_difference(find_checkpoint(folder + "/run", "last"), find_checkpoint(straight / "run", "last")) == 0);
  CHECK(metrics_difference(straight / "run", folder + "/run") == "");
}

TEST_CASE("a checkpoint that cannot be written ends with 4, and the earlier one can be resumed") {
  TemporaryFolder folder;
  REQUIRE(run_child(tiny_train(folder.path(), {"train.steps=5"})).code == 0);
  const std::string earlier = find_checkpoint(folder / "run", "last");
  const Finished result = run_child(tiny_train(folder.path()), [&] {
    std::signal(SIGXFSZ, SIG_IGN);  // as under `trap '' XFSZ; ulimit -f`: writes fail instead
    const rlimit limit{fs::file_size(earlier + "/model.safetensors") - 1, RLIM_INFINITY};
    setrlimit(RLIMIT_FSIZE, &limit);
  });
  INFO(result.err);
  CHECK(result.code == 4);
  CHECK_THAT(result.err, Catch::Contains("File too large") && Catch::Contains("model.safetensors"));
  CHECK(find_checkpoint(folder / "run", "last") == earlier);
  check_recovery(folder.path(), {});
}

TEST_CASE("a full disk ends with 4, and the earlier checkpoint can be resumed once there is space") {
  TemporaryFolder folder;
  if (mount("tmpfs", folder.path().c_str(), "tmpfs", 0, "size=700k") != 0) {
    WARN("cannot mount a file system: only the limit of a file's size is tested");
    return;
  }
  const Arguments settings{"checkpoint.keep_last=100", "checkpoint.every=2"};
  const Finished result = run_child(tiny_train(folder.path(), settings));
  const auto last = CheckpointFolder(folder / "run/checkpoints").last();
  const bool grown = mount("tmpfs", folder.path().c_str(), "tmpfs", MS_REMOUNT, "size=20m") == 0;
  CHECK(result.code == 4);
  CHECK_THAT(result.err, Catch::Contains("No space left on device"));
  CHECK(last.value_or(0) >= 2);
  CHECK(last.value_or(30) < 30);
  CHECK(grown);
  check_recovery(folder.path(), settings);
  CHECK(umount(folder.path().c_str()) == 0);
}

TEST_CASE("on a full disk the rank that met it gives the reason, and the run warns before") {
  TemporaryFolder folder;
  if (mount("tmpfs", folder.path().c_str(), "tmpfs", 0, "size=500k") != 0) {
    WARN("cannot mount a file system: not tested");
    return;
  }
  const Arguments settings{"checkpoint.keep_last=100", "checkpoint.every=2", "train.steps=100"};
  const Finished planned =
      run_child(tiny_train(folder.path(), settings + Arguments{"model.d_model=64"}) + Arguments{"--dry-run"});
  const Finished result = run_child(mpirun(2) + tiny_train(folder.path(), settings));
  CHECK(umount(folder.path().c_str()) == 0);
  CHECK_THAT(planned.out, Catch::Contains("of free space, and a checkpoint needs about"));
  INFO(result.err);
  CHECK(result.code == 4);
  CHECK_THAT(result.err, Catch::Contains("No space left on device") && !Catch::Contains("No such file") &&
                             Catch::Contains("of free space, and a checkpoint needs about"));
}

TEST_CASE("a result that cannot be written ends with 4") {
  const auto into_full_disk = [] {
    const int full = ::open("/dev/full", O_WRONLY);
    ::dup2(full, STDOUT_FILENO);
  };
  TemporaryFolder folder;
  REQUIRE(run_child(tiny_train(folder.path(), {"train.steps=5"})).code == 0);
  for (const Arguments& command :
       {program("moe-train") + Arguments{"--dump-config"}, program("moe-train") + Arguments{"--version"},
        program("moe-eval") + Arguments{folder / "run"}, program("moe-eval") + Arguments{folder / "run", "--json"},
        program("moe-inspect") + Arguments{folder / "run", "--no-html"}, program("moe-data") + Arguments{"--help"}}) {
    const Finished result = run_child(command, into_full_disk);
    CAPTURE(command, result.err);
    CHECK(result.code == 4);
    CHECK_THAT(result.err, Catch::Contains("cannot write to standard output"));
  }
}
