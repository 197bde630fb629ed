// The folder of a run: its lock, its name, what is put in place of its files, and its end.
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "core/base/json_text.h"
#include "core/checkpoint/checkpoint.h"
#include "tests/apps/compare_runs.h"
#include "tests/apps/programs.h"
#include "tests/support/catch.h"

using namespace moe;
namespace fs = std::filesystem;

// What a second process must not touch.
static std::string content_of(const std::string& run) {
  std::string content;
  for (const char* name : {"config.yaml", "manifest.json", "lock"}) content += read_file(run + "/" + name);
  return content;
}

TEST_CASE("a second process in a run's folder ends with 4, names the first, and touches nothing") {
  TemporaryFolder folder;
  ChildProcess run(tiny_train(folder.path(), {"train.steps=1M", "checkpoint.every=0", "evaluate.every=0"}));
  REQUIRE(run.wait_for("step     20/"));
  const std::string before = content_of(folder / "run");
  for (const Arguments& launcher : {Arguments{}, mpirun(2)}) {
    for (const char* mode : {"auto", "never", "must"}) {
      const Finished second = run_child(launcher + tiny_train(folder.path(), {"train.steps=2M", "log.every=3"}) +
                                        Arguments{"--resume", mode});
      INFO(second.err);
      CHECK(second.code == 4);
      CHECK_THAT(second.err, Catch::Contains(fmt::format("is in use by process {} on ", run.pid())) &&
                                 Catch::Contains("moe-train"));
    }
  }
  CHECK(content_of(folder / "run") == before);
  // A killed process leaves no lock.
  run.signal(SIGKILL);
  run.wait();
  CHECK(fs::exists(folder / "run/lock"));
  done(tiny_train(folder.path(), {"train.steps=5"}));
  CHECK_FALSE(fs::exists(folder / "run/lock"));
  const std::string log = read_file(folder / "run/train.log");
  CHECK(log.find("in use") == std::string::npos);
}

TEST_CASE("ranks that do not know of each other are warned about") {
  TemporaryFolder folder;
  const Finished result =
      run_child(tiny_train(folder.path(), {"train.steps=3"}), [] { setenv("SLURM_NTASKS", "4", 1); });
  CHECK(result.code == 0);
  CHECK_THAT(result.err, Catch::Contains("SLURM_NTASKS is 4, but MPI connects 1 rank"));
  const Finished quiet =
      run_child(tiny_train(folder.path(), {"train.steps=4"}), [] { setenv("SLURM_NTASKS", "1", 1); });
  CHECK_THAT(quiet.err, !Catch::Contains("SLURM_NTASKS"));
}

TEST_CASE("a run whose folder is removed, renamed or replaced ends with 4 at the next write") {
  const std::string how = GENERATE("removed", "renamed", "replaced");
  TemporaryFolder folder;
  ChildProcess run(tiny_train(folder.path(), {"train.steps=1M", "checkpoint.every=20", "evaluate.every=0"}));
  REQUIRE(run.wait_for("step     20/"));
  const std::string path = folder / "run";
  fs::rename(path, folder / "elsewhere");
  if (how == "removed") fs::remove_all(folder / "elsewhere");
  if (how == "replaced") fs::create_directories(path + "/checkpoints");
  const Finished result = run.wait();
  INFO(how << ": " << result.err);
  CHECK(result.code == 4);
  CHECK_THAT(result.err, Catch::Contains("is gone"));
  if (how != "replaced") CHECK_FALSE(fs::exists(path));
  if (how == "replaced") CHECK(fs::is_empty(path + "/checkpoints"));
}

TEST_CASE("a name that leaves the folder of runs, is empty or has control characters is refused") {
  TemporaryFolder folder;
  const std::string runs = folder / "runs";
  for (const std::string name : {"", "..", ".", "../../x", "a/../../x", "/tmp/x", "a//b", "a/", "a\nb", "a\x1b[2Jb"}) {
    for (const char* option : {"--dry-run", "--quiet"}) {
      const Finished result =
          run_child(tiny_train(runs, {"name=" + (name.find_first_of("\n\x1b") < name.size() ? json_text(Json(name))
                                                                                            : "\"" + name + "\"")}) +
                    Arguments{option});
      INFO(name << ": " << result.err);
      CHECK(result.code == 2);
      CHECK_THAT(result.err, Catch::Contains("name '") && !Catch::Contains("\x1b"));
      CHECK_FALSE(fs::exists(runs));
    }
  }
  done(tiny_train(runs, {"name=group/one", "train.steps=1"}));
  CHECK(fs::exists(runs + "/group/one/config.yaml"));
}

TEST_CASE("files of a run are not written through links that lie in their place") {
  TemporaryFolder folder;
  const std::string target = folder / "target", run = folder / "run";
  std::ofstream(target) << "precious";
  fs::create_directories(run + "/checkpoints");
  for (const char* name : {"config.yaml.tmp", "manifest.json.tmp", "metrics.jsonl.tmp", "checkpoints/BEST.tmp",
                           "checkpoints/step_00000005.tmp"}) {
    fs::create_symlink(target, run + "/" + name);
  }
  done(tiny_train(folder.path(), {"train.steps=10"}));
  CHECK(read_file(target) == "precious");
  for (const char* name : {"train.log", "metrics.jsonl", "lock"}) {
    fs::remove(run + "/" + name);
    fs::create_symlink(target, run + "/" + name);
    const Finished result = run_child(tiny_train(folder.path(), {"train.steps=15"}));
    INFO(name << ": " << result.err);
    CHECK(result.code == 4);
    CHECK_THAT(result.err, Catch::Contains(name));
    CHECK(read_file(target) == "precious");
    fs::remove(run + "/" + name);
  }
}
