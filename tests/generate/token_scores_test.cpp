#include "core/generate/token_scores.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "core/base/philox.h"
#include "core/generate/multiple_choice.h"
#include "core/generate/token_table.h"
#include "data/evaluation_streams.h"
#include "data/evaluation_windows.h"
#include "data/posix_file.h"
#include "data/tokenizers/byte.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_run.h"

using namespace moe;

namespace {

constexpr int64_t kContext = 16;

TrainConfig config_with(const std::string& moe = "{experts: 4, d_ff: 8}", const std::string& attention = "{heads: 4}") {
  return config_from(
      fmt::format("{{model: {{layers: 2, d_model: 16, init_std: 0.3, attention: {}}}, moe: {}, data: {{sequence: {}}}, "
                  "train: {{batch: 2}}, curriculum: {{sampler: contiguous}}}}",
                  attention, moe, kContext));
}

std::vector<int32_t> some_text(int64_t tokens) {
  const RandomKey key{3, RandomPurpose::test, 0, 0};
  std::vector<int32_t> text;
  for (int64_t i = 0; i < tokens; ++i)
    text.push_back(static_cast<int32_t>('a' + key.bits(static_cast<uint64_t>(i)) % 26));
  return text;
}

double sum_of(const std::vector<TokenScore>& scores) {
  double sum = 0;
  for (const TokenScore& score : scores) sum += score.nats;
  return sum;
}

const int64_t kVocab = ByteTokenizer().vocab_size();

}  // namespace

TEST_CASE("a token's score has its surprise, the entropy and its rank") {
  const std::vector<float> logits = {1, 3, 3, -2};
  double total = 0, entropy = 0;
  for (const float z : logits) total += std::exp(double(z));
  for (const float z : logits) entropy -= std::exp(double(z)) / total * (double(z) - std::log(total));
  const int64_t ranks[] = {2, 0, 1, 3};
  for (int32_t token = 0; token < 4; ++token) {
    const TokenScore score = score_token(logits, token);
    CHECK(score.nats == Approx(std::log(total) - double(logits[static_cast<size_t>(token)])));
    CHECK(score.entropy == Approx(entropy));
    CHECK(score.rank == ranks[token]);
  }
  CHECK(score_token(std::vector<float>{1e30f, 0}, 0).nats == 0);
  CHECK(score_token(std::vector<float>{1e30f, 0}, 0).entropy == 0);
}

TEST_CASE("scores of a text add up to its evaluation in the same windows") {
  TinyRun run(config_with(), kVocab, ProcessGroups::single());
  for (const int64_t size : {2, 16, 17, 18, 61}) {
    const std::vector<int32_t> text = some_text(size);
    Split split("test");
    split.append(text);
    for (const auto& [context, stride] : {std::pair<int64_t, int64_t>{16, 16}, {16, 5}, {7, 1}, {1, 1}}) {
      INFO(size << " tokens, context " << context << ", stride " << stride);
      const Evaluation expected = evaluate(run.state, run.groups, EvaluationWindows(split, context, stride), 1);
      const auto scores = score_tokens(run.state, text, {.context = context, .stride = stride});
      REQUIRE(std::ssize(scores) == size - 1);
      CHECK(sum_of(scores) == Approx(expected.loss_sum).epsilon(1e-5));
      const Evaluation evaluation = evaluation_of(scores, text, ByteTokenizer(), {.bytes = size, .first_bytes = 1});
      CHECK(evaluation.correct == expected.correct);
      CHECK(*evaluation.raw_bytes == size - 1);
    }
  }
  CHECK(score_tokens(run.state, some_text(1), {.context = 16, .stride = 16}).empty());
}

TEST_CASE("scores of a model with a context memory add up to its evaluation as a stream") {
  TinyRun run(config_with("{experts: 4, d_ff: 8}", "{heads: 4, position: relative, memory: 20}"), kVocab,
              ProcessGroups::single());
  const std::vector<int32_t> text = some_text(61);
  Split split("test");
  split.append(text);
  const Evaluation expected = evaluate(run.state, run.groups, EvaluationStreams(split, kContext, 1, 20), 1);
  const auto scores = score_tokens(run.state, text, {.context = kContext, .stride = kContext});
  CHECK(sum_of(scores) == Approx(expected.loss_sum).epsilon(1e-5));
}

TEST_CASE("a table of tokens has their texts, scores and experts") {
  TinyRun run(config_with(), kVocab, ProcessGroups::single());
  const std::vector<int32_t> text = {'a', '\n', '\t', '\\', 0xC3, 0xA9, 7};
  ChosenExperts experts(*run.state.model);
  const auto scores = score_tokens(
      run.state, text, {.context = 4, .stride = 2, .visit = [&](std::span<const ReadToken> t) { experts.collect(t); }});
  const std::string table = token_table(text, scores, ByteTokenizer(), &experts);
  std::vector<std::string> lines;
  for (size_t begin = 0; begin < table.size();) {
    const size_t end = table.find('\n', begin);
    lines.push_back(table.substr(begin, end - begin));
    begin = end + 1;
  }
  REQUIRE(lines.size() == 8);
  CHECK(lines[0] == "index\ttoken\ttext\tnats\tentropy\trank\texperts0\texperts1");
  const auto chosen = [&](int64_t i) {
    std::string columns;
    for (size_t l = 0; l < 2; ++l) {
      const auto of = experts.of(0, i, l);
      REQUIRE(of.size() == 2);
      columns += fmt::format("\t{},{}", of[0], of[1]);
    }
    return columns;
  };
  CHECK(lines[1] == "0\t97\ta\t\t\t" + chosen(0));
  const char* texts[] = {"\\n", "\\t", "\\\\", "\\xC3", "\\xA9", "\\x07"};
  for (size_t i = 1; i < text.size(); ++i) {
    CHECK(lines[i + 1] == fmt::format("{}\t{}\t{}\t{:.6f}\t{:.6f}\t{}{}", i, text[i], texts[i - 1], scores[i - 1].nats,
                                      scores[i - 1].entropy, scores[i - 1].rank, chosen(static_cast<int64_t>(i))));
  }
}

TEST_CASE("the choice with the largest probability after the prompt is taken") {
  TinyRun run(config_with(), kVocab, ProcessGroups::single());
  const ByteTokenizer tokenizer;
  // ln p of the choice's bytes, each read after all before it.
  const auto expected = [&](const std::string& prompt, const std::string& choice) {
    std::vector<int32_t> ids;
    tokenizer.encode(prompt + choice, ids);
    if (std::ssize(ids) > kContext + 1) ids.erase(ids.begin(), ids.end() - (kContext + 1));
    const auto scores = score_tokens(run.state, ids, {.context = kContext, .stride = kContext});
    double sum = 0;
    for (size_t i = 0; i < choice.size(); ++i) sum -= scores[scores.size() - 1 - i].nats;
    return sum;
  };
  const Question question{.prompt = "abc: ", .choices = {"x", "some words", "é"}, .answer = 1};
  const Answered answered = answer(run.state, tokenizer, question, {.context = kContext});
  REQUIRE(answered.log_likelihood.size() == 3);
  const double likelihoods[] = {expected("abc:", "  x"), expected("abc:", "  some words"), expected("abc:", "  é")};
  for (size_t i = 0; i < 3; ++i) CHECK(answered.log_likelihood[i] == Approx(likelihoods[i]).epsilon(1e-6));
  CHECK(answered.chosen == std::max_element(likelihoods, likelihoods + 3) - likelihoods);
  const double by_length[] = {likelihoods[0] / 1, likelihoods[1] / 10, likelihoods[2] / 1};
  CHECK(answered.chosen_by_length == std::max_element(by_length, by_length + 3) - by_length);
  // Of a long prompt the beginning is left out.
  const Question longer{.prompt = std::string(40, 'a'), .choices = {"x", "yz"}};
  const Answered after = answer(run.state, tokenizer, longer, {.context = kContext, .delimiter = "-"});
  CHECK(after.log_likelihood[1] == Approx(expected(longer.prompt, "-yz")).epsilon(1e-6));
  const ChoiceAccuracy accuracy = answer_all(run.state, tokenizer, {question, question}, {.context = kContext});
  CHECK(accuracy.plain.right == (answered.chosen == 1 ? 2 : 0));
}

TEST_CASE("accuracies have the standard error of lm-eval and Wilson's interval") {
  const Accuracy accuracy{.right = 8, .questions = 10};
  CHECK(accuracy.share() == Approx(0.8));
  CHECK(accuracy.standard_error() == Approx(0.13333333333));
  CHECK(accuracy.interval().first == Approx(0.4901625));
  CHECK(accuracy.interval().second == Approx(0.9433178));
  CHECK(std::isnan(Accuracy{1, 1}.standard_error()));
}

TEST_CASE("questions are read with an index or a choice as the answer, and damaged ones are refused by their line") {
  const TemporaryFolder folder;
  write_text_file(folder / "q.jsonl",
                  "{\"prompt\": \"p\", \"choices\": [\"a\", \"b\"], \"answer\": 1, \"more\": 3}\n"
                  "{\"prompt\": \"\", \"choices\": [\"a\", \"b\"], \"answer\": \"a\"}\n");
  const std::vector<Question> questions = read_questions(folder / "q.jsonl");
  REQUIRE(questions.size() == 2);
  CHECK(questions[0].answer == 1);
  CHECK(questions[1].answer == 0);
  for (const char* line : {"{\"prompt\": \"p\"}", "{\"prompt\": \"p\", \"choices\": [\"a\"], \"answer\": 0}",
                           "{\"prompt\": \"p\", \"choices\": [\"a\", \"b\"], \"answer\": 2}",
                           "{\"prompt\": \"p\", \"choices\": [\"a\", \"b\"], \"answer\": \"c\"}", "[1]", "no JSON"}) {
    INFO(line);
    write_text_file(folder / "bad.jsonl",
                    std::string("{\"prompt\": \"p\", \"choices\": [\"a\", \"b\"], \"answer\": 0}\n") + line);
    CHECK_THROWS_WITH(read_questions(folder / "bad.jsonl"), Catch::Contains("bad.jsonl:2:"));
  }
  write_text_file(folder / "empty.jsonl", "");
  CHECK_THROWS_AS(read_questions(folder / "empty.jsonl"), DataError);
}
