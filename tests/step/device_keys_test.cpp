// The keys of a text's tokens on the tested device, compared with the CPU.
#include <vector>

#include "core/retrieval/token_keys.h"
#include "data/evaluation_windows.h"
#include "tests/support/catch.h"
#include "tests/support/test_context.h"
#include "tests/support/tiny_run.h"

using namespace moe;

static constexpr int64_t kVocab = 29;

static std::vector<float> keys_of(TinyRun& run, const EvaluationSet& set, KeyKind kind) {
  std::vector<float> keys;
  read_keys(run.state, run.groups, set, kind, 2,
            [&](KeyedTokens& tokens) { keys.insert(keys.end(), tokens.keys.begin(), tokens.keys.end()); });
  return keys;
}

TEST_CASE("the keys of a text on the device are those of the CPU") {
  const TrainConfig config = config_from(R"(
model: {layers: 2, d_model: 32, attention: {heads: 4}, init_std: 0.05}
moe: {experts: 4, d_ff: 24}
data: {sequence: 16}
train: {batch: 2}
)");
  std::vector<int32_t> text;
  for (int32_t i = 0; i < 100; ++i) text.push_back(i * i % static_cast<int32_t>(kVocab));
  Split split("text");
  split.append(text);
  const EvaluationWindows set(split, 16, 12);
  TinyRun on_cpu(config, kVocab, ProcessGroups::single()),
      on_device(config, kVocab, ProcessGroups::single(), DType::f32, test::test_device());
  for (const KeyKind kind : {KeyKind::hidden, KeyKind::routing}) {
    const std::vector<float> expected = keys_of(on_cpu, set, kind), found = keys_of(on_device, set, kind);
    REQUIRE(expected.size() == found.size());
    for (size_t i = 0; i < expected.size(); ++i) CHECK(found[i] == Approx(expected[i]).epsilon(1e-3).margin(1e-4));
  }
}
