#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/checkpoint/files.h"
#include "core/trace/step_trace.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"

using namespace moe;

// Two tokens in a block with so many experts; the first fills slots 0 and 2, the second only slot 1.
static StepTrace trace_of(int64_t experts) {
  const auto last = static_cast<int32_t>(experts - 1);
  std::vector<float> logits(static_cast<size_t>(2 * experts));
  for (size_t i = 0; i < logits.size(); ++i) logits[i] = static_cast<float>(i) / 7;
  return {.facts = {.step = 12,
                    .of = "training",
                    .data = "0123456789abcdef",
                    .seed = 5,
                    .samples = 1,
                    .sequence = 2,
                    .is_complete = true},
          .ids = {70'000, 3},
          .next = {3, -1},
          .samples = {0, 0},
          .positions = {0, 1},
          .offsets = {5'000'000'000, 5'000'000'001},
          .layers = {{.block = 4,
                      .experts = experts,
                      .slots = 3,
                      .chosen = {last, kNoExpert, 0, kNoExpert, 1, kNoExpert},
                      .weights = {0.75f, 9, 0.25f, 9, 1, 9},
                      .dropped = {0, 0, 1, 0, 0, 0},
                      .logits = logits}}};
}

static std::string written(const TemporaryFolder& folder, const StepTrace& trace) {
  std::filesystem::create_directories(trace_folder(folder.path(), "training"));
  const std::string path = trace_path(folder.path(), "training", trace.facts.step);
  replace_text(path, to_file(trace));
  return path;
}

TEST_CASE("a routing trace is read as it was written, whatever the number of experts") {
  const TemporaryFolder folder;
  for (const int64_t experts : {2, 255, 256, 65'535, 65'536}) {
    INFO(experts << " experts");
    const StepTrace trace = trace_of(experts);
    const StepTrace read = StepTraceFile(written(folder, trace)).all();
    CHECK(read.facts == trace.facts);
    CHECK(read.ids == trace.ids);
    CHECK(read.next == trace.next);
    CHECK(read.samples == trace.samples);
    CHECK(read.positions == trace.positions);
    CHECK(read.offsets == trace.offsets);
    REQUIRE(read.layers.size() == 1);
    const LayerTrace& layer = read.layers[0];
    CHECK(layer.block == 4);
    CHECK(layer.experts == experts);
    // Empty slots are moved to the end, and a slot that no token fills is left out.
    CHECK(layer.slots == 2);
    CHECK(layer.chosen == std::vector<int32_t>{static_cast<int32_t>(experts - 1), 0, 1, kNoExpert});
    CHECK(layer.weights == std::vector<float>{0.75f, 0.25f, 1, 0});
    CHECK(layer.dropped == std::vector<int32_t>{0, 1, 0, 0});
    CHECK(layer.logits == trace.layers[0].logits);
  }
  CHECK(expert_bytes(255) == 1);
  CHECK(expert_bytes(256) == 2);
  CHECK(expert_bytes(65'536) == 4);
}

TEST_CASE("a routing trace that was cut off, or whose numbers were changed, is refused") {
  const TemporaryFolder folder;
  const std::string path = written(folder, trace_of(5)), whole = read_text(path);
  const auto refused = [&](const std::string& content) {
    replace_text(path, content);
    CHECK_THROWS_AS(StepTraceFile(path).all(), DataError);
  };
  for (size_t length = 0; length < whole.size(); length += 7) refused(whole.substr(0, length));
  const size_t header = 8 + static_cast<unsigned char>(whole[0]) + 256 * static_cast<unsigned char>(whole[1]);
  for (size_t i = header; i < whole.size(); ++i) {
    std::string changed = whole;
    changed[i] = static_cast<char>(changed[i] ^ 0x10);
    refused(changed);
  }
  refused("no such file at all");
  std::filesystem::remove(path);
  CHECK_THROWS_WITH(StepTraceFile(path), Catch::Contains(path));
}

TEST_CASE("the traced steps of a run are found by the names of their files") {
  const TemporaryFolder folder;
  CHECK(traced_steps(folder.path(), "training").empty());
  StepTrace trace = trace_of(3);
  for (const int64_t step : {100, 20, 123'456'789}) {
    trace.facts.step = step;
    written(folder, trace);
  }
  std::ofstream(trace_folder(folder.path(), "training") + "/step-x.safetensors");
  std::ofstream(trace_folder(folder.path(), "training") + "/step-00000007.safetensors.tmp");
  CHECK(traced_steps(folder.path(), "training") == std::vector<int64_t>{20, 100, 123'456'789});
  CHECK(traced_steps(folder.path(), "validation").empty());
}
