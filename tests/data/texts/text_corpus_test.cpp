// Labelled texts as tokens: splits, truncation, tokenizers, batches.
#include "data/texts/text_corpus.h"

#include <fstream>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "data/texts/text_loader.h"
#include "data/tokenizers/byte.h"
#include "data/tokenizers/character.h"
#include "tests/data/golden_tokenizers.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"

using namespace moe;

static TextFiles files_of(int64_t train, int64_t validation = 0) {
  TextFiles files;
  files.classes = {"even", "odd"};
  const auto fill = [](TextSet& set, int64_t count, const std::string& word) {
    for (int64_t i = 0; i < count; ++i) set.add(word + std::to_string(i), static_cast<int32_t>(i % 2));
  };
  fill(files.train, train, "train");
  fill(files.validation, validation, "valid");
  fill(files.test, 3, "test");
  return files;
}

static TextCorpus corpus_of(TextFiles files, const LabelledDataConfig& config, int64_t longest = 100) {
  return {"texts", std::move(files), {config, nullptr, longest}};
}

TEST_CASE("validation comes from its file, or is drawn from the training texts") {
  LabelledDataConfig config;
  config.validation = 5;
  const TextCorpus drawn = corpus_of(files_of(20), config);
  CHECK(drawn.split("train").size() == 15);
  REQUIRE(drawn.split("validation").size() == 5);
  CHECK(drawn.split("test").size() == 3);
  CHECK(drawn.tokenizer().name() == "byte");
  for (int64_t i = 0; i < 5; ++i) {
    const std::string text(drawn.split("validation").text(i));
    CHECK(drawn.split("validation").label(i) == std::stoi(text.substr(5)) % 2);
    for (int64_t j = 0; j < 15; ++j) CHECK(drawn.split("train").text(j) != text);
  }
  config.split_seed = 2;
  CHECK(corpus_of(files_of(20), config).split("train").content_hash() != drawn.split("train").content_hash());
  const TextCorpus given = corpus_of(files_of(4, 2), config);
  CHECK(given.split("train").size() == 4);
  CHECK(given.split("validation").text(1) == "valid1");
  config.validation = 20;
  CHECK_THROWS_AS(corpus_of(files_of(20), config), UsageError);
  config.validation = 0;
  CHECK_FALSE(corpus_of(files_of(20), config).has_split("validation"));
  CHECK_THROWS_AS(drawn.split("dev"), DataError);
}

TEST_CASE("classes are counted, and unknown text is") {
  LabelledDataConfig config;
  config.validation = 2;
  config.tokenizer = "word";
  const TextCorpus corpus = corpus_of(files_of(20), config);
  CHECK(corpus.class_counts().in_words() == "even 10, odd 10");
  CHECK(corpus.class_counts().doubts().empty());
  CHECK(corpus.split("train").unknown() == UnknownText{});
  CHECK(corpus.split("test").unknown() == UnknownText{3, 15});  // test0, test1, test2
  CHECK(corpus.split("test").num_encoded() == 3);
  config.tokenizer = "byte";
  CHECK(corpus_of(files_of(20), config).split("test").unknown() == UnknownText{});
}

TEST_CASE("a text that is too long keeps the configured end") {
  LabelledDataConfig config;
  config.validation = 0;
  for (const auto& [keep, expected] : {std::pair("beginning", "trai"), std::pair("end", "ain1")}) {
    config.keep = keep;
    const TextCorpus corpus = corpus_of(files_of(2), config, 4);
    const LabelledTexts& train = corpus.split("train");
    CHECK(corpus.tokenizer().decode(train.tokens(1)) == expected);
    CHECK(train.longest() == 4);
    CHECK(train.num_cut() == 2);
    CHECK(train.text(1) == "train1");
  }
}

TEST_CASE("characters that a tokenizer lacks are named, with a remedy") {
  LabelledDataConfig config;
  config.validation = 0;
  const std::string letters = " abcdefghijklmnopqrstuvwxyz";
  const auto open = [&] {
    return TextCorpus(
        "texts", files_of(2),
        {config, std::make_unique<CharacterTokenizer>(std::vector<unsigned char>(letters.begin(), letters.end())),
         100});
  };
  try {
    open();
    FAIL("no error");
  } catch (const DataError& error) {
    const std::string message = error.what();
    INFO(message);
    CHECK(message.find("'0'") != std::string::npos);
    CHECK(message.find("text 1 of the train split, 'train0'") != std::string::npos);
    CHECK(message.find("data.labelled.clean: text8") != std::string::npos);
  }
  config.clean = "text8";
  const TextCorpus corpus = open();
  CHECK(corpus.tokenizer().decode(corpus.split("train").tokens(1)) == "train one");
  CHECK(corpus.tokenizer().decode(corpus.split("test").tokens(2)) == "test two");
}

TEST_CASE("the run's own tokenizer is made from the training texts") {
  LabelledDataConfig config;
  config.validation = 0;
  config.tokenizer = "word";
  const TextCorpus corpus = corpus_of(files_of(2), config);
  CHECK(corpus.split("train").length(0) == 1);
  CHECK(corpus.tokenizer().decode(corpus.split("train").tokens(1)) == "train1");
  config.tokenizer = "char";  // lacks characters that only the test texts have
  CHECK_THROWS_AS(corpus_of(files_of(2), config), DataError);
}

TEST_CASE("the tokenizer of labelled texts may be another program's, by its path") {
  LabelledDataConfig config;
  config.validation = 0;
  config.tokenizer = "klingon";
  CHECK_THROWS_AS(corpus_of(files_of(2), config), UsageError);
#if MOE_HAS_ICU
  const TemporaryFolder folder;
  config.tokenizer = write_golden_tokenizer(folder, "llama3");
  const TextCorpus corpus = corpus_of(files_of(2), config);
  CHECK(corpus.tokenizer().name() == "huggingface");
  CHECK(corpus.tokenizer().decode(corpus.split("train").tokens(1)) == "train1");
#endif
}

TEST_CASE("a batch of texts has lengths, and padding after them") {
  LabelledDataConfig config;
  config.validation = 0;
  TextFiles files;
  files.classes = {"a", "b"};
  files.train.add("ab", 1);
  files.train.add("", 0);
  const TextCorpus corpus = corpus_of(std::move(files), config);
  const LabelledTexts& train = corpus.split("train");
  Batch batch;
  const std::vector<SampleVisit> visits{{0, 0}, {1, 0}, {2, 0}};
  TextLoader(1).load(train, visits, 4, batch);  // with a class token
  CHECK(batch.inputs == std::vector<int32_t>{'a', 'b', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0});
  CHECK(batch.targets == std::vector<int32_t>{0, 0, 0, -1, 0, -1, -1, -1, -1, -1, -1, -1});
  CHECK(batch.lengths == std::vector<int32_t>{3, 1, 0});
  CHECK(batch.labels == std::vector<int32_t>{1, 0, -1});
  CHECK(batch.domains.empty());
  TextLoader(0).load(train, visits, 2, batch);
  CHECK(batch.lengths == std::vector<int32_t>{2, 0, 0});
}

TEST_CASE("a corpus of chosen classes has only their texts, numbered in the chosen order") {
  TemporaryFolder folder;
  for (const char* part : {"train", "test"}) {
    std::ofstream(folder / (std::string(part) + ".tsv")) << "a\tone\nb\ttwo\nc\tthree\na\tfour\nc\tfive\n";
  }
  LabelledDataConfig config;
  config.validation = 0;
  config.classes = {"c", "a"};
  const TextCorpus corpus = TextCorpus::open(folder.path(), "tsv", {config, nullptr, 100});
  CHECK(corpus.classes() == std::vector<std::string>{"c", "a"});
  const LabelledTexts& train = corpus.split("train");
  REQUIRE(train.size() == 4);
  CHECK(train.text(0) == "one");
  CHECK(train.label(0) == 1);
  CHECK(train.text(1) == "three");
  CHECK(train.label(1) == 0);
  CHECK(corpus.split("test").size() == 4);
  config.classes = {"c", "d"};
  CHECK_THROWS_AS(TextCorpus::open(folder.path(), "tsv", {config, nullptr, 100}), DataError);
}
