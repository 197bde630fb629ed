#include "core/train/free_space.h"

#include "core/checkpoint/files.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"

using namespace moe;

TEST_CASE("free space is compared with what a checkpoint needs, also for a folder that does not exist yet") {
  TemporaryFolder folder;
  for (const std::string& path : {folder.path(), folder / "runs/new"}) {
    CHECK_FALSE(space_notice(path, 1));
    const auto notice = space_notice(path, 1e19);
    REQUIRE(notice);
    CHECK_THAT(*notice, Catch::Contains(path) && Catch::Contains("free space"));
  }
  write_text_synced(folder / "a", "1234");
  write_text_synced(folder / "b", "123");
  CHECK(folder_bytes(folder.path()) == 7);
  CHECK(folder_bytes(folder / "absent") == 0);
}

TEST_CASE("a checkpoint has the parameters and the optimizer's states in f32") {
  ModelSummary summary;
  summary.parameters = 1000;
  MemoryPlan plan;
  plan.parameters = 500 * 4;  // of one of two ranks
  plan.optimizer = 500 * 8;
  CHECK(checkpoint_bytes(summary, plan, DType::f32, 30) == 1000 * 12 + 30);
  plan.parameters = 500 * 2;
  plan.optimizer = 500 * 12;  // with the f32 values
  CHECK(checkpoint_bytes(summary, plan, DType::bf16, 0) == 1000 * 12);
  plan.optimizer = 0;
  CHECK(checkpoint_bytes(summary, plan, DType::f32, 0) == 1000 * 4);
}
