// Models that transformers made, with the logits it computed (tests/interop/write_golden.py).
#include <algorithm>
#include <cmath>
#include <filesystem>

#include "core/checkpoint/checkpoint.h"
#include "core/checkpoint/files.h"
#include "core/checkpoint/tensor_file.h"
#include "core/convert/approximation.h"
#include "core/convert/from_hf.h"
#include "core/convert/hf_layout.h"
#include "core/convert/logits.h"
#include "core/convert/to_hf.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"

using namespace moe;

static std::string golden(const std::string& layout) {
  return std::string(MOE_GOLDEN "/") + layout;
}

TEST_CASE("the logits of imported models are those of transformers") {
  for (const HfLayout& layout : hf_layouts()) {
    INFO(layout.name);
    const TemporaryFolder folder;
    const HfImport imported = from_hf(golden(layout.name), folder / "run", {});
    CHECK(imported.layout == layout.name);
    CHECK(imported.unread.empty());
    const TokenSequences sequences = read_sequences(golden(layout.name) + "/ids.json");
    LoadedRun run = load_for_logits(folder / "run", "last", 20, "cpu");
    CHECK(run.step == 0);
    const std::vector<float> ours = logits_of(run, sequences.at(0));
    const TensorFile file(golden(layout.name) + "/logits.safetensors");
    const ConstTensor theirs = file.tensors().at("logits.0");
    REQUIRE(theirs.size() == static_cast<int64_t>(ours.size()));
    float largest = 0, difference = 0;
    for (size_t i = 0; i < ours.size(); ++i) {
      largest = std::max(largest, std::abs(theirs.as<float>()[i]));
      difference = std::max(difference, std::abs(theirs.as<float>()[i] - ours[i]));
    }
    CHECK(largest > 1);
    CHECK(difference < 1e-4f * std::max(1.0f, largest));
  }
}

TEST_CASE("imported models go back to transformers bit by bit") {
  for (const HfLayout& layout : hf_layouts()) {
    if (!layout.check) continue;
    INFO(layout.name);
    const TemporaryFolder folder;
    from_hf(golden(layout.name), folder / "run", {});
    const HfExport exported = to_hf(find_checkpoint(folder / "run", "last"), folder / "again", {.shard_bytes = 4000});
    CHECK(exported.layout == layout.name);
    CHECK(file_exists(folder / "again/model.safetensors.index.json"));
    const ForeignTensors before(golden(layout.name)), after(folder / "again");
    CHECK(before.names() == after.names());
    for (const std::string& name : before.names()) {
      INFO(name);
      CHECK(before.dims(name) == after.dims(name));
      std::vector<float> wanted = before.read(name);
      // With groups the bias is raised above zero.
      if (name.ends_with("e_score_correction_bias")) {
        const float least = std::min(0.0f, *std::min_element(wanted.begin(), wanted.end()));
        for (float& x : wanted) x -= least;
      }
      CHECK(after.read(name) == wanted);
    }
  }
}

TEST_CASE("an import leaves nothing behind that is not complete, and replaces nothing") {
  const TemporaryFolder folder;
  std::filesystem::copy(golden("llama"), folder / "theirs", std::filesystem::copy_options::recursive);
  std::filesystem::resize_file(folder / "theirs/model.safetensors", 5000);
  CHECK_THROWS_AS(from_hf(folder / "theirs", folder / "run", {}), CheckpointError);
  CHECK_FALSE(file_exists(folder / "run"));
  make_folder(folder / "run");
  replace_text(folder / "run/mine", "text");
  CHECK_THROWS_AS(from_hf(golden("llama"), folder / "run", {}), CheckpointError);
  CHECK(read_text(folder / "run/mine") == "text");
}
