// Samples that begin with a retrieved prefix (data.retrieval).
#include "core/tasks/retrieved_prefix.h"

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "core/base/integer.h"
#include "core/base/token.h"
#include "core/tasks/task.h"
#include "core/train/training_batches.h"
#include "data/content_hash.h"
#include "data/corpus_preparation.h"
#include "data/posix_file.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_run.h"

using namespace moe;

namespace {

constexpr int64_t kChunk = 4, kLength = 6, kWindow = 8;

// A corpus of bytes in which each stretch of text tells where it is, and neighbours for it.
struct Place {
  Place() {
    std::string text;
    for (int i = 0; i < 400; ++i) text += fmt::format("{:03d}.", i);
    write_text_file(folder / "text.txt", text);
    PreparationOptions options;
    options.inputs = {folder / "text.txt"};
    options.output = folder / "corpus";
    prepare_corpus(options);
    const Corpus corpus = Corpus::open(folder / "corpus");
    NeighbourFacts facts;
    facts.chunk = kChunk, facts.length = kLength, facts.window = kWindow;
    std::map<std::string, SplitNeighbours> splits;
    for (const Split& split : corpus.splits()) {
      SplitNeighbours& own = splits[split.name()];
      own.text = format_hash(split.content_hash());
      for (int64_t c = 0; c < chunks_of(split.num_tokens(), kChunk); ++c)
        own.nearest.push_back(static_cast<int32_t>((c + 100) % 300));
    }
    training_tokens = corpus.split("train").num_tokens();
    write_neighbours(folder / "map", facts, training_tokens, splits);
  }
  TrainConfig config(const std::string& data = "", const std::string& more = "") const {
    return config_from(
        fmt::format("{{data: {{path: {}, sequence: {}, retrieval: {{neighbours: {}, length: {}}}{}}}, train: {{batch: "
                    "6, steps: 20}}, "
                    "model: {{layers: 1, d_model: 8, attention: {{heads: 2}}}}, moe: {{experts: 2, d_ff: 8}}{}}}",
                    folder / "corpus", kWindow, folder / "map", kLength, data, more));
  }

  TrainConfig plain() const {
    TrainConfig without = config();
    without.data.retrieval.neighbours.clear();
    return without;
  }

  TemporaryFolder folder;
  int64_t training_tokens = 0;
};

// The text of the places of a row.
std::string text_of(const Batch& batch, int64_t row, int64_t begin, int64_t count) {
  std::string text;
  for (int64_t i = begin; i < begin + count; ++i)
    text += static_cast<char>(batch.inputs[as_index(row * batch.length + i)]);
  return text;
}

}  // namespace

TEST_CASE("a sample is the training text's nearest place to the text before a window, then the window") {
  const Place place;
  const std::unique_ptr<Task> task = open_task(place.config());
  task->check(place.config());
  const std::unique_ptr<Task> plain = open_task(place.plain());
  CHECK(task->shape().time == kLength + kWindow);
  CHECK(plain->shape().time == kWindow);
  CHECK(task->num_samples() == plain->num_samples());
  CHECK(task->tokens_per_sample() == plain->tokens_per_sample());
  CHECK(task->identity() != plain->identity());
  const Corpus corpus = Corpus::open(place.folder / "corpus");
  std::vector<SampleVisit> visits;
  for (int64_t epoch = 0; epoch < 3; ++epoch)
    for (int64_t sample = 0; sample < task->num_samples(); ++sample) visits.push_back({sample, epoch});
  const SampleExtent extent = task->extent(visits), plain_extent = plain->extent(visits);
  CHECK(extent.time == kLength + kWindow);
  CHECK(extent.tokens == plain_extent.tokens);
  Batch batch, windows;
  task->load(visits, extent.time, batch);
  plain->load(visits, plain_extent.time, windows);
  CHECK(batch.prefix == kLength);
  CHECK(batch.sample_ids == windows.sample_ids);
  for (int64_t row = 0; row < batch.sequences; ++row) {
    const int64_t start = windows.starts[as_index(row)];
    const int64_t query = start / kChunk - 1;
    const int64_t from = query < 0 ? place.training_tokens - kLength : (query + 100) % 300 * kChunk;
    std::vector<int32_t> expected(as_index(kLength));
    corpus.split("train").read(from, kLength, expected.data());
    for (int64_t i = 0; i < kLength; ++i) {
      CHECK(batch.inputs[as_index(row * batch.length + i)] == expected[as_index(i)]);
      CHECK(batch.targets[as_index(row * batch.length + i)] == kIgnoreTarget);
    }
    CHECK(text_of(batch, row, kLength, kWindow) == text_of(windows, row, 0, kWindow));
    for (int64_t i = 0; i < kWindow; ++i)
      CHECK(batch.targets[as_index(row * batch.length + kLength + i)] == windows.targets[as_index(row * kWindow + i)]);
  }
}

TEST_CASE("an evaluation with prefixes scores the tokens that one without scores") {
  const Place place;
  const std::unique_ptr<Task> task = open_task(place.config());
  const std::unique_ptr<Task> plain = open_task(place.plain());
  for (const char* split : {"validation", "test", "train"}) {
    for (const int64_t stride : {kWindow, int64_t{3}}) {
      const auto set = task->evaluation_set(split, {.stride = stride}),
                 other = plain->evaluation_set(split, {.stride = stride});
      REQUIRE(set->num_sequences() == other->num_sequences());
      CHECK(set->num_tokens() == other->num_tokens());
      CHECK(set->raw_bytes() == other->raw_bytes());
      Batch batch, windows;
      const int64_t count = set->num_sequences() + 2;  // rows past the last one are padding
      set->load(0, count, batch);
      other->load(0, count, windows);
      REQUIRE(batch.length == windows.length + kLength);
      for (int64_t row = 0; row < count; ++row) {
        for (int64_t i = 0; i < windows.length; ++i)
          CHECK(batch.targets[as_index(row * batch.length + kLength + i)] ==
                windows.targets[as_index(row * windows.length + i)]);
        const int32_t tokens = windows.lengths.empty() ? 8 : windows.lengths[as_index(row)];
        const int32_t all = batch.lengths.empty() ? 14 : batch.lengths[as_index(row)];
        CHECK(all == (tokens == 0 ? 0 : tokens + kLength));
      }
    }
  }
}

TEST_CASE("batches with prefixes are a function of seed and step, and plans are of their length") {
  const Place place;
  const TrainConfig config = place.config();
  const std::unique_ptr<Task> task = open_task(config);
  const auto drawn = [&](int64_t step) {
    Curriculum curriculum({.config = config.curriculum,
                           .samples = task->num_samples(),
                           .batch = 6,
                           .seed = 1,
                           .run = run_length(config, *task),
                           .data = task->samples()},
                          "");
    const ProcessGroups groups = ProcessGroups::single();
    TrainingBatches batches(config, *task, curriculum, run_length(config, *task), 0);
    const LocalBatch batch = batches.draw(step, *groups.world);
    CHECK(batch.global_tokens == 6 * kWindow);
    CHECK(batch.time == kLength + kWindow);
    return std::vector<int32_t>(batch.inputs.begin(), batch.inputs.end());
  };
  CHECK(drawn(7) == drawn(7));
  CHECK(drawn(7) != drawn(8));
}

TEST_CASE("retrieved prefixes that cannot be are refused") {
  const Place place;
  const auto refused = [&](const TrainConfig& config, const std::string& reason) {
    CHECK_THROWS_WITH(open_task(config)->check(config), Catch::Contains(reason));
  };
  refused(place.config(", documents: separate"), "data.documents");
  refused(place.config("", ", curriculum: {sampler: contiguous}"), "contiguous");
  TrainConfig longer = place.config();
  longer.data.sequence = kWindow + 1;
  refused(longer, "windows of up to 8");
  longer = place.config();
  longer.data.retrieval.length = kLength + 1;
  refused(longer, "prefixes of up to 6");
  longer.data.retrieval.neighbours = place.folder / "nothing";
  CHECK_THROWS_AS(open_task(longer), CheckpointError);
  // Neighbours of another text.
  write_text_file(place.folder / "other.txt", std::string(2000, 'x'));
  PreparationOptions options;
  options.inputs = {place.folder / "other.txt"};
  options.output = place.folder / "other";
  prepare_corpus(options);
  TrainConfig other = place.config();
  other.data.use(place.folder / "other");
  CHECK_THROWS_AS(open_task(other), DataError);
}
