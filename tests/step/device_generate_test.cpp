// Text that a model reads on the tested device, compared with the CPU.
#include <algorithm>
#include <cmath>
#include <vector>

#include "core/generate/generate.h"
#include "tests/support/catch.h"
#include "tests/support/test_context.h"
#include "tests/support/tiny_run.h"

using namespace moe;

static constexpr int64_t kVocab = 29;

static const char* kModels[] = {
    R"(
model: {layers: 2, d_model: 32, attention: {heads: 4, kv_heads: 2, qk_norm: true}, init_std: 0.05}
moe: {experts: 4, d_ff: 24, shared_experts: 1}
data: {sequence: 16}
)",
    R"(
model: {layers: 2, d_model: 24, arrangement: glam, attention: {heads: 3, position: learned}, init_std: 0.05}
moe: {experts: 5, d_ff: 33}
data: {sequence: 16}
)",
    R"(
model: {layers: 2, d_model: 24, attention: {heads: 3, position: relative, memory: 9}, init_std: 0.05}
moe: {experts: 4, d_ff: 24}
curriculum: {sampler: contiguous}
data: {sequence: 16}
)",
    R"(
model: {layers: 2, d_model: 24, attention: {heads: 3}, init_std: 0.05}
moe: {experts: 4, d_ff: 24, router: {kind: expert_choice}}
data: {sequence: 16}
)"};

// The logits after the tokens of two texts, of which one is read in pieces while the other is read at once.
static std::vector<float> logits_of(TinyRun& run) {
  const std::vector<int32_t> first = {3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5}, second = {27, 18, 28, 18, 2};
  ModelReader reader(run.state, {.rows = 2, .context = 16, .chunk = 16});
  std::vector<float> all;
  const auto read = [&](std::vector<ModelReader::Unread> texts) {
    const std::span<const float> logits = reader.read(texts);
    all.insert(all.end(), logits.begin(), logits.end());
  };
  const auto tokens = std::span<const int32_t>(first), others = std::span<const int32_t>(second);
  read({{.row = 1, .tokens = tokens.first(5)}});
  read({{.row = 1, .tokens = tokens.first(6), .known = 5}, {.row = 0, .tokens = others.first(4)}});
  read({{.row = 0, .tokens = others, .known = 4}, {.row = 1, .tokens = tokens.first(7), .known = 6}});
  read({{.row = 1, .tokens = tokens, .known = 7}});
  return all;
}

TEST_CASE("text read on the device gives the logits of the CPU") {
  for (const char* yaml : kModels) {
    INFO(yaml);
    const TrainConfig config = config_from(yaml);
    TinyRun on_cpu(config, kVocab, ProcessGroups::single()),
        on_device(config, kVocab, ProcessGroups::single(), DType::f32, test::test_device());
    const std::vector<float> expected = logits_of(on_cpu), actual = logits_of(on_device);
    REQUIRE(actual.size() == expected.size());
    float largest = 0, difference = 0;
    for (size_t i = 0; i < actual.size(); ++i) {
      largest = std::max(largest, std::abs(expected[i]));
      difference = std::max(difference, std::abs(actual[i] - expected[i]));
    }
    CHECK(largest > 0.01f);
    CHECK(difference < 1e-4f * largest);
  }
}
