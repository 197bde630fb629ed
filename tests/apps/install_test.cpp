#include <filesystem>

#include "tests/apps/programs.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"

using namespace moe;

TEST_CASE("installed programs run, and installed configurations can be read") {
  const TemporaryFolder folder;
  REQUIRE(run_child({CMAKE, "--install", MOE_BUILD, "--prefix", folder.path()}).code == 0);
  for (const char* name : {"moe-train", "moe-eval", "moe-inspect", "moe-data", "moe-bench"}) {
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
