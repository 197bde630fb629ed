#include "core/generate/generate.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "core/base/philox.h"
#include "core/moe/router.h"
#include "core/moe/strategy.h"
#include "tests/support/catch.h"
#include "tests/support/strategy_variants.h"
#include "tests/support/test_context.h"
#include "tests/support/thread_ranks.h"
#include "tests/support/tiny_run.h"

using namespace moe;
using moe::test::run_ranks;
using moe::test::ThreadCount;

namespace {

constexpr int64_t kVocab = 23, kContext = 24;

TrainConfig config_with(const std::string& moe = "{experts: 4, d_ff: 8}",
                        const std::string& attention = "{heads: 4, kv_heads: 2}", const std::string& model = "") {
  return config_from(fmt::format(
      "{{model: {{layers: 2, d_model: 16, init_std: 0.3, attention: {}{}}}, moe: {}, data: {{sequence: {}}}, "
      "train: {{batch: 2}}, curriculum: {{sampler: contiguous}}}}",
      attention, model, moe, kContext));
}

TrainConfig with_router(const std::string& router) {
  return config_with("{experts: 5, d_ff: 8, router: " + router + "}");
}

std::vector<int32_t> some_text(int64_t tokens, uint32_t stream = 0) {
  const RandomKey key{3, RandomPurpose::test, stream, 0};
  std::vector<int32_t> text;
  for (int64_t i = 0; i < tokens; ++i)
    text.push_back(static_cast<int32_t>(key.bits(static_cast<uint64_t>(i)) % uint64_t{kVocab}));
  return text;
}

ReaderOptions reader(int64_t rows = 1, bool cache = true) {
  return {.rows = rows, .context = kContext, .chunk = kContext, .cache = cache};
}

// The logits after each token of `text`, read in pieces of `piece` tokens.
std::vector<float> logits_in_pieces(TinyRun& run, const std::vector<int32_t>& text, int64_t piece, bool cache) {
  ModelReader reads(run.state, reader(1, cache));
  std::vector<float> all;
  for (int64_t known = 0; known < std::ssize(text); known += piece) {
    const auto end = static_cast<size_t>(std::min(known + piece, std::ssize(text)));
    const ModelReader::Unread unread{.row = 0, .tokens = std::span(text).first(end), .known = known};
    const std::span<const float> logits = reads.read({&unread, 1});
    all.insert(all.end(), logits.begin(), logits.end());
  }
  return all;
}

void check_cache(const TrainConfig& config, bool is_exact = true) {
  TinyRun run(config, kVocab, ProcessGroups::single());
  const std::vector<int32_t> text = some_text(kContext);
  for (const int64_t piece : {1, 5}) {
    INFO("pieces of " << piece);
    const std::vector<float> expected = logits_in_pieces(run, text, piece, false);
    const std::vector<float> actual = logits_in_pieces(run, text, piece, true);
    REQUIRE(actual.size() == expected.size());
    if (is_exact) {
      CHECK(std::memcmp(actual.data(), expected.data(), actual.size() * sizeof(float)) == 0);
      continue;
    }
    double largest = 0, difference = 0;
    for (size_t i = 0; i < actual.size(); ++i) {
      largest = std::max(largest, std::abs(static_cast<double>(expected[i])));
      difference = std::max(difference, std::abs(static_cast<double>(actual[i]) - static_cast<double>(expected[i])));
    }
    CHECK(difference < 1e-5 * largest);
  }
}

struct Wish {
  int64_t rows = 1;
  bool cache = true, slides = true;
  int64_t tokens = 40;
};

std::vector<WrittenText> write(TinyRun& run, const Wish& wish, std::vector<WrittenText> texts) {
  TextWriter writer(run.state, {.tokens = wish.tokens,
                                .sampling = {.temperature = 1},
                                .seed = 7,
                                .slides = wish.slides,
                                .reader = reader(wish.rows, wish.cache)});
  writer.write(texts);
  return texts;
}

// Prompts of several lengths, one of them with several streams.
std::vector<WrittenText> prompts() {
  std::vector<WrittenText> texts;
  for (const int64_t size : {1, 9, 3, 20, 24, 2})
    texts.push_back({.tokens = some_text(size, static_cast<uint32_t>(size))});
  for (uint32_t stream = 1; stream < 4; ++stream) texts.push_back({.tokens = texts[1].tokens, .stream = stream});
  return texts;
}

void check_equal(const std::vector<WrittenText>& actual, const std::vector<WrittenText>& expected) {
  REQUIRE(actual.size() == expected.size());
  for (size_t i = 0; i < actual.size(); ++i) {
    INFO("text " << i);
    CHECK(actual[i].tokens == expected[i].tokens);
    CHECK(actual[i].end == expected[i].end);
  }
}

}  // namespace

TEST_CASE("logits with a cache are those without, bit for bit, for every router") {
  for (const Member& router : family<Router>()) {
    INFO(router.name);
    check_cache(with_router(router.name));
  }
}

TEST_CASE("logits with a cache are those without, bit for bit, for every strategy") {
  for (const std::string& strategy : test::strategy_variants()) {
    INFO(strategy);
    check_cache(config_with("{experts: 4, d_ff: 8, strategy: " + strategy + "}"));
  }
}

TEST_CASE("logits with a cache are those without, bit for bit, for every kind of model") {
  for (const char* attention :
       {"{heads: 4, position: learned}", "{heads: 2, kv_heads: 1, position: none}", "{heads: 4, qk_norm: full}",
        "{heads: 4, kv_heads: 2, qk_norm: head, rope_scaling: {kind: linear, factor: 4}}"}) {
    INFO(attention);
    check_cache(config_with("{experts: 4, d_ff: 8, shared_experts: 1, router: {k: 3}}", attention));
  }
  for (const char* model :
       {", arrangement: dense", ", norm_place: post", ", vocab_size: 40", ", activation: gelu, norm: layer",
        ", recompute: blocks", ", arrangement: glam, bias: {attention: all, feed_forward: true}"}) {
    INFO(model);
    check_cache(config_with("{experts: 4, d_ff: 8}", "{heads: 4}", model));
  }
}

TEST_CASE("experts with limited room, layers of their own and routers in both stages read as without a cache") {
  for (const char* moe : {"{experts: 4, d_ff: 8, capacity: {kind: fixed, factor: 1, evaluation: 1}}",
                          "{experts: 4, d_ff: 8, layers: [{at: 1, router: expert_choice}]}",
                          "{experts: 4, d_ff: 8, strategy: {kind: hierarchical, group_router: random}}",
                          "{experts: 4, d_ff: 8, router: random, strategy: {kind: change, at: 0, then: stochastic}}"}) {
    INFO(moe);
    check_cache(config_with(moe));
  }
}

TEST_CASE("logits of a context memory that is filled token by token are those of whole segments") {
  for (const char* position : {"rope", "none", "relative"}) {
    for (const int64_t memory : {1, 7, 40}) {
      INFO(position << ", memory " << memory);
      check_cache(config_with("{experts: 4, d_ff: 8}",
                              fmt::format("{{heads: 4, kv_heads: 2, position: {}, memory: {}}}", position, memory)),
                  false);
    }
  }
}

TEST_CASE("logits of products in bf16 agree to their rounding") {
  const TrainConfig config = config_with();
  TinyRun run(config, kVocab, ProcessGroups::single(), Precision{DType::f32, Products::bf16}, Device::cpu);
  const std::vector<int32_t> text = some_text(kContext);
  const std::vector<float> with = logits_in_pieces(run, text, 1, true), without = logits_in_pieces(run, text, 1, false);
  double sum = 0, all = 0;
  for (size_t i = 0; i < with.size(); ++i) {
    sum += std::pow(with[i] - without[i], 2);
    all += std::pow(without[i], 2);
  }
  CHECK(std::sqrt(sum / all) < 2e-2);
}

TEST_CASE("a text is the same whatever it is written together with, with a cache and without, for any threads") {
  for (const char* router : {"topk", "hash", "random", "expert_choice", "{kind: expert_choice, group: batch}"}) {
    INFO(router);
    TinyRun run(with_router(router), kVocab, ProcessGroups::single());
    const std::vector<WrittenText> expected = write(run, {}, prompts());
    CHECK(expected[0].tokens.size() == 41);
    CHECK(expected[6].tokens != expected[1].tokens);  // another stream
    for (const int threads : {1, 3}) {
      const ThreadCount count(threads);
      for (const int64_t rows : {1, 2, 4, 30}) {
        check_equal(write(run, {.rows = rows}, prompts()), expected);
        check_equal(write(run, {.rows = rows, .cache = false}, prompts()), expected);
      }
    }
  }
}

TEST_CASE("ranks that share the experts write the text of one") {
  const TrainConfig config = with_router("topk");
  std::vector<WrittenText> expected;
  {
    TinyRun run(config, kVocab, ProcessGroups::single());
    expected = write(run, {}, prompts());
  }
  std::vector<std::vector<WrittenText>> written(2);
  run_ranks(2, [&](std::shared_ptr<Communicator> world) {
    const auto rank = static_cast<size_t>(world->rank());
    TrainConfig four = config;
    TinyRun run(four, kVocab, ProcessGroups::make(std::move(world), 1, 5));
    written[rank] = write(run, {.rows = 3}, prompts());
  });
  for (const auto& texts : written) check_equal(texts, expected);
}

TEST_CASE("a full context ends a text or drops its older half") {
  TinyRun run(config_with(), kVocab, ProcessGroups::single());
  const std::vector<WrittenText> ended = write(run, {.slides = false, .tokens = 100}, {{.tokens = some_text(5)}});
  CHECK(ended[0].end == TextEnd::context);
  CHECK(ended[0].tokens.size() == kContext + 1);
  std::vector<WrittenText> slid = write(run, {.tokens = 100}, {{.tokens = some_text(5)}});
  CHECK(slid[0].end == TextEnd::length);
  REQUIRE(slid[0].tokens.size() == 105);
  CHECK(std::equal(ended[0].tokens.begin(), ended[0].tokens.end(), slid[0].tokens.begin()));
  CHECK_THROWS_AS(write(run, {.slides = false}, {{.tokens = some_text(kContext + 1)}}), DataError);
  // Of a prompt that is too long the last tokens are read.
  const std::vector<int32_t> prompt = some_text(2 * kContext);
  const auto after = [&](std::vector<int32_t> tokens) {
    const auto size = static_cast<std::ptrdiff_t>(tokens.size());
    const std::vector<WrittenText> texts = write(run, {.tokens = 9}, {{.tokens = std::move(tokens)}});
    return std::vector<int32_t>(texts[0].tokens.begin() + size, texts[0].tokens.end());
  };
  CHECK(after(prompt) == after({prompt.end() - kContext, prompt.end()}));
}

TEST_CASE("more positions than the model has learned are refused") {
  TinyRun run(config_with("{experts: 4, d_ff: 8}", "{heads: 4, position: learned}"), kVocab, ProcessGroups::single());
  CHECK_THROWS_WITH(TextWriter(run.state, {.reader = {.context = kContext + 1, .chunk = kContext}}),
                    Catch::Contains("has learned 24 positions"));
}

TEST_CASE("positions that are computed go on past the training's") {
  TinyRun run(config_with(), kVocab, ProcessGroups::single());
  std::vector<WrittenText> texts = {{.tokens = some_text(5)}};
  TextWriter writer(run.state, {.tokens = 60, .slides = false, .reader = {.context = 65, .chunk = kContext}});
  writer.write(texts);
  CHECK(texts[0].end == TextEnd::length);
  CHECK(texts[0].tokens.size() == 65);
}

TEST_CASE("a text ends at its end token, at the visitor's wish and when it is interrupted") {
  TinyRun run(config_with(), kVocab, ProcessGroups::single());
  const std::vector<int32_t> prompt = some_text(3);
  GenerateOptions options{.tokens = 20, .reader = reader()};
  const std::vector<int32_t> whole = generate(run.state, prompt, options);
  REQUIRE(whole.size() == 20);
  std::vector<WrittenText> texts = {{.tokens = prompt}, {.tokens = prompt}};
  options.end = whole[7];
  const auto first = std::find(whole.begin(), whole.end(), whole[7]);
  CHECK(generate(run.state, prompt, options) == std::vector<int32_t>(whole.begin(), first));
  options.end = {};
  std::vector<std::pair<size_t, int32_t>> visits;
  TextWriter(run.state, options).write(texts, [&](size_t index, int32_t token) {
    visits.emplace_back(index, token);
    return visits.size() != 4;
  });
  CHECK(texts[0].end == TextEnd::visitor);
  CHECK(texts[0].tokens ==
        std::vector<int32_t>({prompt[0], prompt[1], prompt[2], whole[0], whole[1], whole[2], whole[3]}));
  CHECK(texts[1].end == TextEnd::length);
  CHECK(visits.size() == 24);
  CHECK(visits[4] == std::pair<size_t, int32_t>{1, whole[0]});
  int asked = 0;
  options.stop = [&] { return ++asked == 6; };
  texts = {{.tokens = prompt}, {.tokens = prompt}};
  TextWriter(run.state, options).write(texts);
  CHECK(texts[0].end == TextEnd::interrupted);
  CHECK(texts[0].drawn == 5);
  CHECK(texts[1].end == TextEnd::interrupted);
  CHECK(texts[1].drawn == 0);
}

TEST_CASE("a text that is written in several calls is that of one call") {
  for (const char* attention : {"{heads: 4}", "{heads: 4, position: relative, memory: 9}"}) {
    INFO(attention);
    TinyRun run(config_with("{experts: 4, d_ff: 8}", attention), kVocab, ProcessGroups::single());
    const std::vector<int32_t> prompt = some_text(6);
    const std::vector<int32_t> whole = generate(run.state, prompt, {.tokens = 30, .reader = reader()});
    TextWriter writer(run.state, {.tokens = 10, .reader = reader()});
    WrittenText text{.tokens = prompt};
    for (int i = 0; i < 3; ++i) writer.write_on(text);
    CHECK(std::vector<int32_t>(text.tokens.begin() + 6, text.tokens.end()) == whole);
  }
}

TEST_CASE("a reader visits each token once with a cache, with its text and its place") {
  TinyRun run(config_with(), kVocab, ProcessGroups::single());
  ReaderOptions options = reader(2);
  options.chunk = 4;
  std::vector<ReadToken> seen;
  options.visit = [&](std::span<const ReadToken> tokens) { seen.insert(seen.end(), tokens.begin(), tokens.end()); };
  std::vector<WrittenText> texts = {{.tokens = some_text(6)}, {.tokens = some_text(3, 1)}};
  TextWriter(run.state, {.tokens = 3, .reader = options}).write(texts);
  std::vector<std::pair<int64_t, int64_t>> places;
  for (const ReadToken& token : seen) places.emplace_back(token.text, token.index);
  std::sort(places.begin(), places.end());
  std::vector<std::pair<int64_t, int64_t>> expected;
  for (int64_t i = 0; i < 8; ++i) expected.emplace_back(0, i);
  for (int64_t i = 0; i < 5; ++i) expected.emplace_back(1, i);
  CHECK(places == expected);  // the last tokens are drawn, not read
}
