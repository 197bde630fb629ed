#include "core/retrieval/token_keys.h"

#include <cmath>
#include <mutex>
#include <numeric>
#include <set>
#include <vector>

#include "core/base/integer.h"
#include "core/base/philox.h"
#include "core/retrieval/text_neighbours.h"
#include "data/evaluation_streams.h"
#include "data/evaluation_windows.h"
#include "tests/retrieval/sample_store.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/thread_ranks.h"
#include "tests/support/tiny_run.h"

using namespace moe;
using namespace moe::test;

namespace {

constexpr int64_t kVocab = 11;

TrainConfig config_with(const std::string& model = "norm_place: pre", const std::string& moe = "k: 2") {
  return config_from(fmt::format(
      "{{model: {{layers: 2, d_model: 8, init_std: 0.3, {}, attention: {{heads: 2}}}}, "
      "moe: {{experts: 4, d_ff: 8, router: {{kind: topk, {}}}}}, data: {{sequence: 8}}, train: {{batch: 4}}}}",
      model, moe));
}

struct Text {
  explicit Text(int64_t count, uint64_t seed = 5) {
    const RandomKey key{seed, RandomPurpose::test, 0, 0};
    for (int64_t i = 0; i < count; ++i)
      tokens.push_back(static_cast<int32_t>(key.bits(static_cast<uint64_t>(i)) % uint64_t{kVocab}));
    split.append(tokens);
  }
  Text(const Text&) = delete;

  std::vector<int32_t> tokens;
  Split split{"train"};
};

void append(KeyedTokens& all, const KeyedTokens& more) {
  const auto add = [](auto& list, const auto& other) { list.insert(list.end(), other.begin(), other.end()); };
  all.width = more.width;
  add(all.keys, more.keys), add(all.next, more.next), add(all.positions, more.positions), add(all.nats, more.nats);
}

KeyedTokens keys_of(TinyRun& run, const EvaluationSet& set, KeyKind kind, int64_t sequences = 3) {
  KeyedTokens all;
  read_keys(run.state, run.groups, set, kind, sequences, [&](KeyedTokens& tokens) { append(all, tokens); });
  return all;
}

}  // namespace

TEST_CASE("there is a key for each token of a text but the first, with its place, token and loss") {
  const Text text(61);
  for (const char* place : {"pre", "post"}) {
    TinyRun run(config_with(fmt::format("norm_place: {}", place)), kVocab, ProcessGroups::single());
    for (const int64_t stride : {8, 3}) {
      const EvaluationWindows set(text.split, 8, stride);
      for (const KeyKind kind : {KeyKind::hidden, KeyKind::routing}) {
        KeyedTokens all;
        const Evaluation e =
            read_keys(run.state, run.groups, set, kind, 3, [&](KeyedTokens& tokens) { append(all, tokens); });
        REQUIRE(all.size() == 60);
        CHECK(all.width == 8);
        CHECK(std::ssize(all.keys) == 60 * 8);
        for (int64_t i = 0; i < 60; ++i) {
          CHECK(all.positions[as_index(i)] == i + 1);
          CHECK(all.next[as_index(i)] == text.tokens[as_index(i + 1)]);
        }
        CHECK(std::accumulate(all.nats.begin(), all.nats.end(), 0.0) == Approx(e.loss_sum).epsilon(1e-6));
        CHECK(evaluate(run.state, run.groups, set, 3).loss_sum == e.loss_sum);  // recording changes nothing
      }
    }
  }
}

TEST_CASE("a key depends on the tokens before it in its window, and on nothing after it") {
  const Text text(33);
  TinyRun run(config_with(), kVocab, ProcessGroups::single());
  for (const KeyKind kind : {KeyKind::hidden, KeyKind::routing}) {
    const KeyedTokens before = keys_of(run, EvaluationWindows(text.split, 8, 8), kind);
    Text changed(33);
    changed.tokens[12] = (changed.tokens[12] + 1) % static_cast<int32_t>(kVocab);  // in the second window
    const KeyedTokens after = keys_of(run, EvaluationWindows(changed.split, 8, 8), kind);
    for (int64_t i = 0; i < before.size(); ++i) {
      const auto key = [&](const KeyedTokens& t) {
        return std::vector(t.keys.begin() + i * t.width, t.keys.begin() + (i + 1) * t.width);
      };
      const int64_t read = before.positions[as_index(i)] - 1;  // the last token that the key is computed from
      CHECK((key(before) == key(after)) == (read < 12 || read >= 16));
    }
  }
}

TEST_CASE("routing keys are the layers' weights over all experts") {
  const Text text(40);
  TinyRun run(config_with(), kVocab, ProcessGroups::single());
  const KeyedTokens tokens = keys_of(run, EvaluationWindows(text.split, 8, 8), KeyKind::routing);
  REQUIRE(tokens.width == 8);  // two layers of four experts
  for (int64_t i = 0; i < 2 * tokens.size(); ++i) {
    const auto begin = tokens.keys.begin() + 4 * i;
    CHECK(std::accumulate(begin, begin + 4, 0.0) == Approx(1).epsilon(1e-6));
    for (auto x = begin; x != begin + 4; ++x) CHECK(*x > 0);
  }
  const TrainConfig dense = config_from(
      "{model: {layers: 1, d_model: 8, arrangement: [dense], attention: {heads: 2}}, data: {sequence: 8}, "
      "train: {batch: 4}}");
  TinyRun without(dense, kVocab, ProcessGroups::single());
  CHECK(keys_of(without, EvaluationWindows(text.split, 8, 8), KeyKind::hidden).width == 8);
  CHECK_THROWS_WITH(keys_of(without, EvaluationWindows(text.split, 8, 8), KeyKind::routing),
                    Catch::Contains("mixture of experts"));
  CHECK_THROWS_AS(keys_of(run, EvaluationStreams(text.split, 8, 2, 0), KeyKind::hidden), UsageError);
}

TEST_CASE("ranks compute the keys of one rank, in the order of the text") {
  const Text text(203);
  const EvaluationWindows set(text.split, 8, 8);
  TinyRun alone(config_with(), kVocab, ProcessGroups::single());
  for (const KeyKind kind : {KeyKind::hidden, KeyKind::routing}) {
    const KeyedTokens one = keys_of(alone, set, kind);
    KeyedTokens found;
    std::mutex mutex;
    run_ranks(2, [&](std::shared_ptr<Communicator> world) {
      TinyRun run(config_with(), kVocab, ProcessGroups::make(world, 2, 2));
      read_keys(run.state, run.groups, set, kind, 3, [&](KeyedTokens& tokens) {
        const KeyedTokens all = gathered(*world, std::move(tokens));
        const std::lock_guard lock(mutex);
        if (all.size() > 0) append(found, all);
      });
    });
    CHECK(found.next == one.next);
    CHECK(found.positions == one.positions);
    REQUIRE(found.keys.size() == one.keys.size());
    for (size_t i = 0; i < one.keys.size(); ++i) CHECK(found.keys[i] == Approx(one.keys[i]).margin(1e-5));
    for (size_t i = 0; i < one.nats.size(); ++i) CHECK(found.nats[i] == Approx(one.nats[i]).margin(1e-5));
  }
}

TEST_CASE("a text's neighbours are the same on several ranks, and its own store holds each of its tokens") {
  const Text text(203);
  const TemporaryFolder folder;
  const EvaluationWindows set(text.split, 8, 8);
  TinyRun alone(config_with(), kVocab, ProcessGroups::single());
  write_sample_store(folder / "store", keys_of(alone, set, KeyKind::hidden));
  const KeyStore store(folder / "store");
  std::vector<StoreSearch> searches(1);
  searches[0] = {"plain", store.size(), 20, std::make_unique<PlainSearch>(store)};
  const TextNeighbours one =
      find_neighbours(alone.state, alone.groups, *alone.groups.world, set, 3, store, searches, 4);
  const TokenNeighbours& found = one.found.front();
  REQUIRE(found.size() == 202);
  for (int64_t i = 0; i < found.size(); ++i) {
    CHECK(found.positions[as_index(i)] == i + 1);
    CHECK(found.distances[as_index(4 * i)] == 0);
    if (i % 8 >= 4)  // windows that begin alike have equal keys there
      CHECK(found.followers[as_index(4 * i)] == found.targets[as_index(i)]);
  }
  run_ranks(2, [&](std::shared_ptr<Communicator> world) {
    TinyRun run(config_with(), kVocab, ProcessGroups::make(world, 1, 2));
    const TextNeighbours two = find_neighbours(run.state, run.groups, *world, set, 3, store, searches, 4);
    if (world->rank() != 0) return;
    if (two.found.front().positions != found.positions || two.found.front().followers != found.followers)
      throw InternalError("ranks found other neighbours");
  });
}
