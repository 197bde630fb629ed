#include "data/tokenizer.h"

#include <filesystem>

#include "core/base/integer.h"
#include "core/base/json_text.h"
#include "data/corpus_preparation.h"
#include "data/tokenizers/character.h"
#include "data/tokenizers/external.h"
#include "data/tokenizers/trained.h"
#include "data/tokenizers/word.h"
#include "tests/data/golden_tokenizers.h"
#include "tests/data/tiny_byte_pairs.h"
#include "tests/support/catch.h"

namespace moe {

static TrainingText text_of(std::string text) {
  return [text](const TextVisitor& visit) {
    const size_t middle = text.find(' ', text.size() / 2);  // pieces end between words
    visit(std::string_view(text).substr(0, middle));
    if (middle != std::string::npos) visit(std::string_view(text).substr(middle));
  };
}

static std::string write_trained(const TemporaryFolder& folder) {
  write_text_file(folder / "ours.json", R"({"name": "byte"})");
  return folder / "ours.json";
}

// Libraries that may be absent from a build.
static bool is_built(std::string_view tokenizer) {
  return tokenizer == "bpe"             ? MOE_HAS_PCRE2
         : tokenizer == "sentencepiece" ? MOE_HAS_SENTENCEPIECE
         : tokenizer == "huggingface"   ? MOE_HAS_ICU
         : tokenizer == "tiktoken"      ? MOE_HAS_ICU
                                        : true;
}

static TokenizerOptions options_of(std::string_view tokenizer, const TemporaryFolder& folder) {
  if (tokenizer == "bpe") return {.vocabulary = write_tiny_byte_pairs(folder)};
  if (tokenizer == "sentencepiece") return {.vocab_size = 300};
  if (tokenizer == "huggingface") return {.vocabulary = write_golden_tokenizer(folder, "gpt2")};
  if (tokenizer == "tiktoken") return {.vocabulary = write_golden_tiktoken(folder), .pattern = "cl100k"};
  if (tokenizer == "trained") return {.vocabulary = write_trained(folder)};
  return {};
}

// The number of bytes that the tokens of a text stand for.
static int64_t bytes_of(const Tokenizer& tokenizer, const std::string& text) {
  std::vector<int32_t> ids;
  TokenMeasures measures;
  int64_t bytes = 0;
  if (const auto by_id = tokenizer.bytes_by_id()) {
    tokenizer.encode(text, ids);
    for (const int32_t id : ids) bytes += (*by_id)[as_index(id)];
  } else {
    bytes = tokenizer.encode(text, ids, measures);
    CHECK(measures.lengths.size() == ids.size());
    CHECK(measures.unknown == std::vector<int32_t>(ids.size(), 0));
    for (const int32_t length : measures.lengths) bytes += length;
  }
  return bytes;
}

TEST_CASE("every tokenizer made from text restores the text, also after a round trip through JSON") {
  const std::string text = "To be, or not to be: \xC3\xA9\n";
  const TemporaryFolder folder;
  for (const TokenizerEntry& entry : tokenizers()) {
    if (!entry.make || !is_built(entry.name)) continue;
    INFO(entry.name);
    const auto made = entry.make(text_of(text), options_of(entry.name, folder));
    CHECK(made->name() == (entry.name == "trained" ? "byte" : entry.name));
    const auto loaded = load_tokenizer(parse_json(json_text(made->to_json())), "test");
    CHECK(loaded->vocab_size() == made->vocab_size());
    std::vector<int32_t> ids = {7};
    made->encode(text, ids);
    CHECK(ids.front() == 7);
    ids.erase(ids.begin());
    for (const int32_t id : ids) CHECK((id >= 0 && id < made->vocab_size()));
    CHECK(loaded->decode(ids) == text);
    CHECK(bytes_of(*loaded, text) == static_cast<int64_t>(text.size()));
    CHECK_THROWS_AS(loaded->decode(std::vector<int32_t>{-1}), DataError);
    CHECK_THROWS_AS(loaded->decode(std::vector<int32_t>{static_cast<int32_t>(loaded->vocab_size())}), DataError);
  }
}

// The vocabulary of another program's tokenizer, as its first bytes or files. A new one fails the test below until it
// is added.
static std::string write_vocabulary(std::string_view tokenizer, const TemporaryFolder& folder) {
  if (tokenizer == "bpe") return write_tiny_byte_pairs(folder);
  if (tokenizer == "sentencepiece") {
    write_text_file(folder / "m.model", "\x0A\x0E\x0A\x05<unk>");
    return folder / "m.model";
  }
  if (tokenizer == "huggingface") return write_golden_tokenizer(folder, "gpt2");
  if (tokenizer == "tiktoken") return write_golden_tiktoken(folder);
  if (tokenizer == "trained") return write_trained(folder);
  return "";
}

TEST_CASE("another program's vocabulary is recognised by its tokenizer alone, and nothing else is opened") {
  const TemporaryFolder folder;
  for (const TokenizerEntry& entry : tokenizers()) {
    if (!entry.is_vocabulary) continue;
    INFO(entry.name);
    REQUIRE(entry.make);
    const std::string path = write_vocabulary(entry.name, folder);
    REQUIRE(!path.empty());
    for (const TokenizerEntry& other : tokenizers()) {
      INFO("asked: " << other.name);
      if (other.is_vocabulary) CHECK(other.is_vocabulary(path) == (other.name == entry.name));
    }
  }
  write_text_file(folder / "words.txt", "the\nand\n");
  for (const std::string& path : {folder / "words.txt", folder.path()}) {
    INFO(path);
    CHECK_THROWS_WITH(open_tokenizer(path), Catch::Contains("known: bpe, sentencepiece"));
  }
  CHECK_THROWS_WITH(open_tokenizer(folder / "absent"), Catch::Contains("absent: no such file"));
}

TEST_CASE("a tokenizer is named by a word or by a path, and recognised by its content") {
  const TemporaryFolder folder;
  TokenizerOptions options;
  CHECK(find_tokenizer("byte", options).name == "byte");
  CHECK(options.vocabulary.empty());
  const std::string path = write_tiny_byte_pairs(folder);
  CHECK(find_tokenizer(path, options).name == "bpe");
  CHECK(options.vocabulary == path);
  CHECK_THROWS_AS(find_tokenizer(path, options), UsageError);  // a second vocabulary
  options = {};
  CHECK(find_tokenizer(write_golden_tokenizer(folder, "gpt2"), options).name == "huggingface");
  options = {};
  write_text_file(path + "/tokenizer.json", read_text_file(folder / "gpt2-tokenizer.json"));
  CHECK(find_tokenizer(path, options).name == "huggingface");  // it says more than the pair of files beside it
  options = {};
  CHECK(find_tokenizer(write_trained(folder), options).name == "trained");
  options = {};
  write_text_file(folder / "theirs.json", R"({"name": "klingon"})");
  CHECK_THROWS_AS(find_tokenizer(folder / "theirs.json", options), DataError);
  CHECK_THROWS_WITH(find_tokenizer("klingon", options), Catch::Contains("unknown tokenizer 'klingon'"));
}

TEST_CASE("the word tokenizer has frequent words, line ends and nothing else") {
  const std::string text = " the cat  sat on the mat .\n\n the <unk> sat\ton a cat\n";
  const auto all = WordTokenizer::make(text_of(text), {});
  CHECK(all->vocab_size() == 9);  // <unk> <eos> | the x3, cat, on, sat x2, ., a, mat
  std::vector<int32_t> ids;
  all->encode(text, ids);
  CHECK(ids == std::vector<int32_t>{2, 3, 5, 4, 2, 8, 6, 1, 1, 2, 0, 5, 4, 7, 3, 1});
  CHECK(all->decode(ids) == "the cat sat on the mat .\n\nthe <unk> sat on a cat\n");
  const auto frequent = WordTokenizer::make(text_of(text), {.min_count = 2});
  CHECK(frequent->vocab_size() == 6);
  ids.clear();
  frequent->encode("the dog sat\n", ids);
  CHECK(ids == std::vector<int32_t>{2, 0, 5, 1});
  CHECK(frequent->decode(ids) == "the <unk> sat\n");
  CHECK(WordTokenizer::make(text_of(""), {})->vocab_size() == 2);

  const auto from = [](std::vector<std::string> words) {
    load_tokenizer({{"name", "word"}, {"words", std::move(words)}}, "test");
  };
  CHECK_NOTHROW(from({"<unk>", "<eos>", "a"}));
  CHECK_THROWS_AS(from({"a", "b"}), DataError);
  CHECK_THROWS_AS(from({"<unk>", "<eos>", "a", "a"}), DataError);
  CHECK_THROWS_AS(from({"<unk>", "<eos>", ""}), DataError);
  CHECK_THROWS_AS(from({"<unk>", "<eos>", "a b"}), DataError);
}

TEST_CASE("the word tokenizer adds blanks to the word after them") {
  const auto tokenizer = WordTokenizer::make(text_of("a b\n"), {});
  std::vector<int32_t> ids;
  TokenMeasures measures;
  CHECK(tokenizer->encode("  a\n\n unknown\t ", ids, measures) == 2);
  CHECK(ids == std::vector<int32_t>{2, 1, 1, 0});
  CHECK(measures.lengths == std::vector<int32_t>{3, 1, 1, 8});
  CHECK(measures.unknown == std::vector<int32_t>{0, 0, 0, 7});
}

TEST_CASE("options that a tokenizer does not accept are usage errors") {
  const TemporaryFolder folder;
  for (const TokenizerEntry& entry : tokenizers()) {
    if (!entry.make || !is_built(entry.name)) continue;
    INFO(entry.name);
    TokenizerOptions options = options_of(entry.name, folder);
    options.min_count = entry.name == "word" ? 0 : 2;
    CHECK_THROWS_AS(entry.make(text_of("a"), options), UsageError);
    if (entry.name == "bpe" || entry.name == "huggingface" || entry.name == "tiktoken") continue;
    options = options_of(entry.name, folder);
    options.vocabulary = "elsewhere";  // for sentencepiece: in addition to a size
    CHECK_THROWS_AS(entry.make(text_of("a"), options), UsageError);
  }
}

TEST_CASE("the char tokenizer numbers the distinct bytes in byte order") {
  const auto tokenizer = CharacterTokenizer::make(text_of("cab cab"));
  CHECK(tokenizer->vocab_size() == 4);
  std::vector<int32_t> ids;
  tokenizer->encode(" abc", ids);
  CHECK(ids == std::vector<int32_t>{0, 1, 2, 3});
}

TEST_CASE("the char tokenizer reports an unknown byte and its offset, and leaves the ids unchanged") {
  const auto tokenizer = CharacterTokenizer::make(text_of("abc"));
  std::vector<int32_t> ids = {1};
  CHECK_THROWS_WITH(tokenizer->encode("abXc", ids, 1000), Catch::Contains("0x58 'X' at offset 1002"));
  CHECK(ids == std::vector<int32_t>{1});
}

TEST_CASE("an external tokenizer prints ids and does not encode text") {
  const ExternalTokenizer tokenizer(50257);
  CHECK(tokenizer.decode(std::vector<int32_t>{15496, 995}) == "15496 995");
  std::vector<int32_t> ids;
  CHECK_THROWS_AS(tokenizer.encode("a", ids), DataError);
}

TEST_CASE("invalid tokenizer descriptions are data errors that name their origin") {
  for (const char* text : {R"({})", R"({"name":"klingon"})", R"({"name":"char"})", R"({"name":"char","alphabet":[]})",
                           R"({"name":"char","alphabet":[5,5]})", R"({"name":"external","vocab_size":0})", "[]"}) {
    INFO(text);
    CHECK_THROWS_AS(load_tokenizer(parse_json(text), "somewhere"), DataError);
    CHECK_THROWS_WITH(load_tokenizer(parse_json(text), "somewhere"), Catch::Contains("somewhere"));
  }
}

TEST_CASE("the tokenizer of a checkpoint or corpus is taken from its folder or file, by either name") {
  const TemporaryFolder folder;
  write_text_file(folder / "a.txt", "one two three\none two\n");
  PreparationOptions options;
  options.inputs = {folder / "a.txt"};
  options.output = folder / "corpus";
  options.tokenizer = "word";
  options.split = "1/0/0";
  prepare_corpus(options);
  const Json expected = Corpus::open(folder / "corpus").tokenizer().to_json();
  for (const char* name : {kTokenizerFile, kOldTokenizerFile}) {
    const std::string checkpoint = folder / ("with_" + std::string(name));
    std::filesystem::create_directories(checkpoint);
    write_text_file(checkpoint + "/" + name, json_text(expected));
    for (const std::string& path : {checkpoint, checkpoint + "/" + name}) {
      CHECK(open_tokenizer(path)->to_json() == expected);
      TokenizerOptions found;
      CHECK(find_tokenizer(path, found).name == "trained");
    }
  }
  CHECK(open_tokenizer(folder / "corpus")->to_json() == expected);
  // A text that is prepared with it has its ids.
  options.inputs = {folder / "b.txt"};
  write_text_file(folder / "b.txt", "three one unheard\n");
  options.output = folder / "other";
  options.tokenizer = folder / "corpus";
  prepare_corpus(options);
  CHECK(Corpus::open(folder / "other").tokenizer().to_json() == expected);
  TokenizerOptions none;
  CHECK_THROWS_AS(tokenizers().at("trained").make({}, none), UsageError);
  CHECK_THROWS_AS(load_tokenizer(parse_json("{\"name\": \"trained\"}"), "x"), DataError);
}

}  // namespace moe
