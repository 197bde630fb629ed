#include "data/batch_loader.h"

#include <numeric>

#include "core/base/error.h"
#include "core/base/integer.h"
#include "data/evaluation_streams.h"
#include "data/evaluation_windows.h"
#include "tests/support/catch.h"

namespace moe {
namespace {

// A split of the tokens 0, 1, 2, ...
struct CountingSplit {
  explicit CountingSplit(int64_t num_tokens) : tokens(static_cast<size_t>(num_tokens)) {
    std::iota(tokens.begin(), tokens.end(), 0);
    split.append(tokens);
  }
  std::vector<int32_t> tokens;
  Split split{"validation"};
};

}  // namespace

TEST_CASE("a batch holds inputs and the same shifted by one") {
  const CountingSplit counting(20);
  Batch batch;
  load(counting.split, std::vector<int64_t>{3, 0, 17}, 4, batch);
  CHECK(batch.sequences == 3);
  CHECK(batch.length == 4);
  CHECK(batch.inputs == std::vector<int32_t>{3, 4, 5, 6, 0, 1, 2, 3, 17, 18, kPaddingToken, kPaddingToken});
  CHECK(batch.targets == std::vector<int32_t>{4, 5, 6, 7, 1, 2, 3, 4, 18, 19, kIgnoreTarget, kIgnoreTarget});
  CHECK(batch.lengths == std::vector<int32_t>{4, 4, 2});  // the last token has no target
  CHECK(batch.sample_ids == std::vector<int64_t>{0, 0, 4});
}

TEST_CASE("a batch reuses its memory") {
  const CountingSplit counting(100);
  Batch batch;
  load(counting.split, std::vector<int64_t>{0, 8, 16}, 8, batch);
  const int32_t* inputs = batch.inputs.data();
  const int32_t* targets = batch.targets.data();
  load(counting.split, std::vector<int64_t>{5}, 7, batch);
  load(counting.split, std::vector<int64_t>{16, 24, 32}, 8, batch);
  CHECK(batch.inputs.data() == inputs);
  CHECK(batch.targets.data() == targets);
  CHECK(batch.inputs.front() == 16);
}

TEST_CASE("evaluation predicts every token but the first exactly once") {
  for (const int64_t num_tokens : {2, 3, 7, 8, 9, 16, 17, 18, 31, 32, 33, 100}) {
    const CountingSplit counting(num_tokens);
    for (const int64_t context : {1, 5, 8, 200}) {
      for (const int64_t stride : {int64_t{1}, int64_t{3}, context - 1, context}) {
        if (stride < 1 || stride > context) continue;
        INFO(num_tokens << " tokens, context " << context << ", stride " << stride);
        const EvaluationWindows windows(counting.split, context, stride);
        std::vector<int> predicted(static_cast<size_t>(num_tokens), 0);
        Batch batch;
        for (int64_t first = 0; first < windows.num_windows(); first += 3) {  // the last batch extends past the end
          windows.load(first, 3, batch);
          for (size_t place = 0; place < batch.targets.size(); ++place) {
            const int32_t target = batch.targets[place];
            if (target == kIgnoreTarget) continue;
            ++predicted[as_index(target)];
            REQUIRE(batch.inputs[place] == target - 1);
            const auto position = static_cast<int64_t>(place) % context;
            const bool first_window = batch.sample_ids[place / static_cast<size_t>(context)] == 0;
            CHECK((first_window || position >= context - stride));
          }
        }
        CHECK(predicted[0] == 0);
        for (size_t token = 1; token < predicted.size(); ++token) REQUIRE(predicted[token] == 1);
      }
    }
  }
}

TEST_CASE("evaluation in streams predicts every token but the first exactly once, segment by segment") {
  for (const int64_t num_tokens : {2, 3, 8, 17, 33, 100}) {
    const CountingSplit counting(num_tokens);
    for (const int64_t context : {1, 5, 8, 200}) {
      for (const int64_t streams : {1, 3, 8, 150}) {
        INFO(num_tokens << " tokens, context " << context << ", streams " << streams);
        const EvaluationStreams set(counting.split, context, streams, 16);
        REQUIRE(set.num_sequences() == set.segments() * set.streams());
        std::vector<int> predicted(static_cast<size_t>(num_tokens), 0);
        std::vector<int32_t> next(static_cast<size_t>(set.streams()), -1);  // input of each stream
        Batch batch;
        for (int64_t first = 0; first < set.num_sequences() + 3; first += 4) {  // and a few past the end
          set.load(first, 4, batch);
          for (size_t place = 0; place < batch.targets.size(); ++place) {
            const int32_t target = batch.targets[place];
            if (target == kIgnoreTarget) continue;
            ++predicted[as_index(target)];
            REQUIRE(batch.inputs[place] == target - 1);
            int32_t& expected = next[as_index((first + static_cast<int64_t>(place) / context) % set.streams())];
            if (expected >= 0) REQUIRE(batch.inputs[place] == expected);
            expected = target;
          }
        }
        CHECK(predicted[0] == 0);
        for (size_t token = 1; token < predicted.size(); ++token) REQUIRE(predicted[token] == 1);
      }
    }
  }
  const CountingSplit one(1), ten(10);
  CHECK_THROWS_AS(EvaluationStreams(one.split, 4, 4, 4), DataError);
  CHECK_THROWS_AS(EvaluationStreams(ten.split, 0, 4, 4), UsageError);
  CHECK_THROWS_AS(EvaluationStreams(ten.split, 4, 0, 4), UsageError);
}

TEST_CASE("evaluation without anything to score is refused") {
  const CountingSplit one(1);
  const CountingSplit ten(10);
  CHECK_THROWS_AS(EvaluationWindows(one.split, 4, 4), DataError);
  CHECK_THROWS_AS(EvaluationWindows(ten.split, 4, 5), UsageError);
  CHECK_THROWS_AS(EvaluationWindows(ten.split, 4, 0), UsageError);
}

}  // namespace moe
