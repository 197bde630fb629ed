#include <filesystem>
#include <fstream>

#include "core/base/text.h"
#include "tests/apps/programs.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"

using namespace moe;

// What --version says of a clone in this folder, as the build finds it.
static std::string commit_of(const std::string& folder, const std::string& git) {
  const Finished result = run_child({CMAKE, "-DFOLDER=" + folder, "-DGIT=" + git, "-P", MOE_SCRIPTS "/commit.cmake"});
  INFO(result.err);
  CHECK(result.code == 0);
  return std::string(trim(result.out));
}

TEST_CASE("the commit of a clone is found without git") {
  const TemporaryFolder folder;
  const std::string first(40, 'a'), second(40, 'b');
  const auto put = [&](const std::string& file, const std::string& text) {
    std::filesystem::create_directories(std::filesystem::path(folder / file).parent_path());
    std::ofstream(folder / file) << text;
  };
  CHECK(commit_of(folder.path(), "") == "unknown");
  // A branch in a file of its own, one in the list of all, and none.
  put("clone/.git/HEAD", "ref: refs/heads/main\n");
  CHECK(commit_of(folder / "clone", "") == "unknown");
  put("clone/.git/packed-refs",
      "# pack-refs with: peeled\n" + second + " refs/heads/main2\n" + first + " refs/heads/main\n^" + second + "\n");
  CHECK(commit_of(folder / "clone", "") == "aaaaaaa");
  put("clone/.git/refs/heads/main", second + "\n");
  CHECK(commit_of(folder / "clone", "") == "bbbbbbb");
  put("clone/.git/HEAD", first + "\n");
  CHECK(commit_of(folder / "clone", "") == "aaaaaaa");
  // Where git is installed and fails, as for a folder of another user.
  CHECK(commit_of(folder / "clone", "/bin/false") == "aaaaaaa");
  // A worktree.
  put("clone/.git/worktrees/tree/HEAD", "ref: refs/heads/main\n");
  put("clone/.git/worktrees/tree/commondir", "../..\n");
  put("tree/.git", "gitdir: " + folder / "clone/.git/worktrees/tree" + "\n");
  CHECK(commit_of(folder / "tree", "") == "bbbbbbb");
}

TEST_CASE("installed programs run, and installed configurations can be read") {
  const TemporaryFolder folder;
  REQUIRE(run_child({CMAKE, "--install", MOE_BUILD, "--prefix", folder.path()}).code == 0);
  for (const char* name : {"moe-train", "moe-eval", "moe-inspect", "moe-study", "moe-data", "moe-bench"}) {
    const Finished result = run_child({folder / (std::string("bin/") + name), "--version"});
    INFO(name << ": " << result.err);
    CHECK(result.code == 0);
    CHECK_THAT(result.out, Catch::Contains("0."));
  }
  const Finished dump = run_child(
      {folder / "bin/moe-train", "-c", folder / "share/moe-train/configs/routers/switch.yaml", "--dump-config"});
  INFO(dump.err);
  CHECK(dump.code == 0);
  CHECK_THAT(dump.out, Catch::Contains("kind: switch"));
}
