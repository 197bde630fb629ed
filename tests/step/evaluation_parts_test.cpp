// The parts of an evaluation: pieces of the text with their own sums.
#include <mutex>
#include <vector>

#include "comm/process_groups.h"
#include "core/evaluate/evaluator.h"
#include "data/evaluation_streams.h"
#include "data/evaluation_windows.h"
#include "tests/support/catch.h"
#include "tests/support/thread_ranks.h"
#include "tests/support/tiny_run.h"

using namespace moe;

static constexpr int64_t kVocab = 11;

static TrainConfig small_config() {
  return config_from(
      "{model: {layers: 1, d_model: 8, attention: {heads: 2}}, moe: {experts: 2, d_ff: 8}, data: {sequence: 8}, "
      "train: {batch: 4}}");
}

// A split refers to its tokens.
struct Text {
  explicit Text(int64_t count) {
    const RandomKey key{5, RandomPurpose::test, 0, 0};
    for (int64_t i = 0; i < count; ++i)
      tokens.push_back(static_cast<int32_t>(key.bits(static_cast<uint64_t>(i)) % uint64_t{kVocab}));
    split.append(tokens);
  }
  Text(const Text&) = delete;

  std::vector<int32_t> tokens;
  Split split{"test"};
};

static void check_equal(const Evaluation& a, const Evaluation& b) {
  REQUIRE(a.parts.size() == b.parts.size());
  for (size_t i = 0; i < a.parts.size(); ++i) {
    CHECK(a.parts[i].loss == Approx(b.parts[i].loss).epsilon(1e-6));
    CHECK(a.parts[i].tokens == b.parts[i].tokens);
    CHECK(a.parts[i].correct == b.parts[i].correct);
  }
}

static void check_sums(const Evaluation& e) {
  double loss = 0, tokens = 0, correct = 0;
  for (const EvaluatedPart& part : e.parts) loss += part.loss, tokens += part.tokens, correct += part.correct;
  CHECK(loss == Approx(e.loss_sum).epsilon(1e-9));
  CHECK(tokens == e.tokens);
  CHECK(correct == e.correct);
}

TEST_CASE("the parts of an evaluation add up to it, whatever is computed at a time") {
  const Text text(2000);  // 250 windows, of which 2 or 3 are a part
  TinyRun run(small_config(), kVocab, ProcessGroups::single());
  for (const int64_t stride : {8, 3}) {
    const EvaluationWindows windows(text.split, 8, stride);
    const Evaluation one = evaluate(run.state, run.groups, windows, 1);
    CHECK(one.parts.size() == 100);
    check_sums(one);
    for (const int64_t sequences : {2, 3, 4}) check_equal(evaluate(run.state, run.groups, windows, sequences), one);
  }
  const Evaluation streams = evaluate(run.state, run.groups, EvaluationStreams(text.split, 8, 5, 0), 4);
  check_sums(streams);
}

TEST_CASE("an evaluation of few sequences has a part for each") {
  const Text text(40);
  TinyRun run(small_config(), kVocab, ProcessGroups::single());
  const Evaluation e = evaluate(run.state, run.groups, EvaluationWindows(text.split, 8, 8), 4);
  REQUIRE(e.parts.size() == 5);
  for (size_t i = 0; i < 4; ++i) CHECK(e.parts[i].tokens == 8);
  CHECK(e.parts[4].tokens == 7);
}

TEST_CASE("the parts of an evaluation are the same on several ranks") {
  const Text text(500);
  const EvaluationWindows windows(text.split, 8, 8);
  TinyRun alone(small_config(), kVocab, ProcessGroups::single());
  const Evaluation one = evaluate(alone.state, alone.groups, windows, 4);
  std::vector<Evaluation> found;
  std::mutex mutex;
  test::run_ranks(2, [&](std::shared_ptr<Communicator> world) {
    TinyRun run(small_config(), kVocab, ProcessGroups::make(world, 2, 2));
    Evaluation e = evaluate(run.state, run.groups, windows, 3);
    const std::lock_guard lock(mutex);
    found.push_back(std::move(e));
  });
  REQUIRE(found.size() == 2);
  for (const Evaluation& e : found) check_equal(e, one);
}
