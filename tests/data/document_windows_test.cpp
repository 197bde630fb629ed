#include "data/document_windows.h"

#include <algorithm>
#include <memory>
#include <numeric>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/base/integer.h"
#include "data/evaluation_windows.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"

namespace moe {
namespace {

// A split of the tokens 0, 1, 2, ... that is divided into documents of these lengths.
struct DividedSplit {
  explicit DividedSplit(const std::vector<int64_t>& lengths) {
    DocumentIndexWriter writer(folder / "index");
    for (const int64_t length : lengths) {
      begins.push_back(static_cast<int64_t>(tokens.size()));
      writer.add({begins.back(), 0});
      tokens.resize(tokens.size() + as_index(length));
    }
    std::iota(tokens.begin(), tokens.end(), 0);
    writer.finish(std::ssize(tokens));
    index = std::make_unique<DocumentIndex>(folder / "index", std::ssize(tokens), 1);
    split.append(tokens);
    split.set_documents(*index);
  }
  // The document of a token.
  int64_t document(int64_t token) const {
    return std::upper_bound(begins.begin(), begins.end(), token) - begins.begin() - 1;
  }
  bool begins_at(int64_t token) const { return begins[as_index(document(token))] == token; }

  TemporaryFolder folder;
  std::vector<int64_t> begins;
  std::vector<int32_t> tokens;
  std::unique_ptr<DocumentIndex> index;
  Split split{"validation"};
};

std::vector<int64_t> some_lengths(int64_t count) {
  std::vector<int64_t> lengths;
  for (int64_t i = 0; i < count; ++i) lengths.push_back(1 + i * i % 23 * (i % 3));
  return lengths;
}

}  // namespace

TEST_CASE("an evaluation of documents predicts every token but their first exactly once, from its document alone") {
  for (const int64_t count : {1, 2, 40, 700}) {
    std::vector<int64_t> lengths = some_lengths(count);
    lengths.back() = 30;
    const DividedSplit divided(lengths);
    for (const auto& [context, stride] : {std::pair<int64_t, int64_t>{8, 8}, {8, 3}, {1, 1}, {100, 50}}) {
      for (const DocumentMode mode : {DocumentMode::fit, DocumentMode::separate}) {
        INFO(count << " documents, context " << context << ", stride " << stride << ", " << name_of(mode));
        std::unique_ptr<EvaluationSet> set;
        if (mode == DocumentMode::fit) {
          set = std::make_unique<EvaluationDocuments>(divided.split, context, stride);
        } else {
          set = std::make_unique<EvaluationWindows>(divided.split, context, stride, 0, mode);
        }
        CHECK(set->documents() == name_of(mode));
        std::vector<int> predicted(divided.tokens.size());
        Batch batch;
        int64_t scored = 0;
        for (int64_t first = 0; first < set->num_sequences(); first += 3) {
          set->load(first, 3, batch);
          CHECK(batch.document_begins.empty() == (mode == DocumentMode::fit));
          for (int64_t place = 0; place < std::ssize(batch.targets); ++place) {
            const int64_t row = place / context, at = place % context;
            const int32_t target = batch.targets[as_index(place)];
            if (mode == DocumentMode::separate) {
              const int64_t begin = batch.document_begins[as_index(place)], end = batch.document_ends[as_index(place)];
              REQUIRE((0 <= begin && begin <= at && at < end && end <= context));
            }
            if (target == kIgnoreTarget) continue;
            ++scored;
            ++predicted[as_index(target)];
            const int32_t input = batch.inputs[as_index(place)];
            REQUIRE(input == target - 1);
            REQUIRE(divided.document(input) == divided.document(target));
            // What it attends to is of its document.
            const int64_t seen = mode == DocumentMode::fit ? 0 : batch.document_begins[as_index(place)];
            REQUIRE(divided.document(batch.inputs[as_index(row * context + seen)]) == divided.document(target));
          }
        }
        CHECK(scored == set->num_tokens());
        for (int64_t token = 0; token < std::ssize(predicted); ++token) {
          REQUIRE(predicted[as_index(token)] == (divided.begins_at(token) ? 0 : 1));
        }
      }
    }
  }
}

TEST_CASE("windows of documents are numbered in the order of the text, and one of them is found by its number") {
  const DividedSplit divided(some_lengths(2000));
  const DocumentWindows windows(divided.split, 5, 5);
  Window last;
  int64_t predictions = 0;
  for (int64_t i = 0; i < windows.num_windows(); ++i) {
    const Window window = windows.window(i);
    REQUIRE(window.start >= last.start + last.tokens);
    REQUIRE((window.tokens >= 1 && window.tokens <= 5 && window.context == 0));
    REQUIRE(divided.document(window.start) == divided.document(window.start + window.tokens));
    predictions += window.tokens;
    last = window;
  }
  CHECK(predictions == count_predictions(divided.split, 1, std::ssize(divided.tokens) - 1, DocumentMode::fit));
  CHECK(predictions == std::ssize(divided.tokens) - 2000);
}

TEST_CASE("separate documents need an index, and fitting windows a document of two tokens") {
  std::vector<int32_t> tokens(10);
  Split split("train");
  split.append(tokens);
  CHECK_THROWS_WITH(expect_documents(split, DocumentMode::separate), Catch::Contains("documents: joined"));
  CHECK_THROWS_AS(DocumentWindows(split, 4, 4), DataError);
  CHECK_NOTHROW(expect_documents(split, DocumentMode::joined));
  const DividedSplit ones({1, 1, 1});
  CHECK_THROWS_WITH(DocumentWindows(ones.split, 4, 4), Catch::Contains("no document of two tokens"));
  CHECK_THROWS_AS(DocumentWindows(DividedSplit({5}).split, 4, 5), UsageError);
}

}  // namespace moe
