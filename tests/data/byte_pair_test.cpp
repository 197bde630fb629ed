#include "data/tokenizers/byte_pair.h"
#include "core/base/json_text.h"
#include "data/tokenizers/byte_pair_files.h"
#include "tests/data/tiny_byte_pairs.h"
#include "tests/support/catch.h"

namespace moe {

TEST_CASE("every byte has its own spelling, as in the published vocabularies") {
  CHECK(spelling_of_byte(' ') == "\xC4\xA0");   // U+0120
  CHECK(spelling_of_byte('\n') == "\xC4\x8A");  // U+010A
  CHECK(spelling_of_byte('a') == "a");
  CHECK(spelling_of_byte(0xAD) == "\xC5\x83");  // the last of the bytes that are not visible: U+0143
  CHECK(spelling_of_byte(0xFF) == "\xC3\xBF");
  for (int byte = 0; byte < 256; ++byte) {
    CHECK(bytes_of_spelling(spelling_of_byte(static_cast<unsigned char>(byte))) ==
          std::string(1, static_cast<char>(byte)));
  }
  CHECK_FALSE(bytes_of_spelling("a b"));
  CHECK_FALSE(bytes_of_spelling("\xE2\x96\x81"));
  CHECK_FALSE(bytes_of_spelling("a\xC4"));
}

#if MOE_HAS_PCRE2

static std::vector<int32_t> ids_of(const Tokenizer& tokenizer, std::string_view text) {
  std::vector<int32_t> ids;
  tokenizer.encode(text, ids);
  return ids;
}

TEST_CASE("words are runs of letters, digits or others, with the blank before them") {
  const WordPattern pattern;
  const auto words = [&](std::string_view text) {
    std::vector<std::string> found;
    pattern.for_each_word(text, [&](std::string_view word) { found.emplace_back(word); });
    return found;
  };
  using Words = std::vector<std::string>;
  CHECK(words("Don't stop, it's 42nd!") == Words{"Don", "'t", " stop", ",", " it", "'s", " 42", "nd", "!"});
  CHECK(words("a  b\n\n c ") == Words{"a", " ", " b", "\n\n", " c", " "});
  CHECK(words("\xC3\xA9t\xC3\xA9 \xE6\x97\xA5\xE6\x9C\xAC \xC2\xBD") ==
        Words{"\xC3\xA9t\xC3\xA9", " \xE6\x97\xA5\xE6\x9C\xAC", " \xC2\xBD"});  // letters, letters, a number
  CHECK(words("a\xFF\xC3 b") == Words{"a", "\xFF", "\xC3", " b"});
  CHECK(words("").empty());
}

TEST_CASE("pairs are merged in the order in which they were learned, within words") {
  const TemporaryFolder folder;
  const auto tokenizer = BytePairTokenizer::make({}, {.vocabulary = write_tiny_byte_pairs(folder)});
  CHECK(tokenizer->vocab_size() == 263);
  CHECK(tokenizer->end_of_document() == 262);
  CHECK(ids_of(*tokenizer, "to be") == std::vector<int32_t>{256, 258});
  CHECK(ids_of(*tokenizer, "to b e") == std::vector<int32_t>{256, 257, ' ', 'e'});
  CHECK(ids_of(*tokenizer, "abcab") == std::vector<int32_t>{260, 259});
  CHECK(ids_of(*tokenizer, "\xC3\xA9\xC3") == std::vector<int32_t>{261, 0xC3});
  // The text of the mark is not encoded as the mark.
  CHECK(ids_of(*tokenizer, "<|endoftext|>").size() == 13);
  CHECK(tokenizer->decode(std::vector<int32_t>{256, 262, 258}) == "to be");
  CHECK(tokenizer->bytes_by_id()->at(258) == 3);
  CHECK(tokenizer->bytes_by_id()->at(262) == 0);
}

TEST_CASE("a long word is encoded fast, and any bytes are restored") {
  const TemporaryFolder folder;
  const auto tokenizer = BytePairTokenizer::make({}, {.vocabulary = write_tiny_byte_pairs(folder)});
  std::string text;
  for (int i = 0; i < 300'000; ++i) text += "abc";
  CHECK(ids_of(*tokenizer, text) == std::vector<int32_t>(300'000, 260));
  text.clear();
  for (int i = 0; i < 70'000; ++i) text += static_cast<char>(i * 7919 >> 4);
  CHECK(tokenizer->decode(ids_of(*tokenizer, text)) == text);
}

TEST_CASE("byte pairs are learned from words, the most frequent first, and the same each time") {
  const TrainingText text = [](const TextVisitor& visit) {
    for (int i = 0; i < 5; ++i) visit("low low low lower lowest\n");
    visit(" newer newer\xC3\xA9\xFF");
  };
  const auto tokenizer = BytePairTokenizer::make(text, {.vocab_size = 264});
  CHECK(tokenizer->vocab_size() == 264);
  CHECK(tokenizer->end_of_document() == 263);
  const Json description = tokenizer->to_json();
  CHECK(description == BytePairTokenizer::make(text, {.vocab_size = 264})->to_json());
  const auto merges = description.at("merges").get<std::vector<std::string>>();
  CHECK(merges == std::vector<std::string>{"l o", "lo w", "\xC4\xA0 low", "\xC4\xA0low e", "s t", "\xC4\xA0lowe r",
                                           "\xC4\xA0lowe st"});
  CHECK(ids_of(*tokenizer, " lower") == std::vector<int32_t>{261});
  CHECK(tokenizer->decode(ids_of(*tokenizer, "slow \xFFnew")) == "slow \xFFnew");
  CHECK(BytePairTokenizer::make(text, {.vocab_size = 5000})->vocab_size() < 300);  // no pair occurs twice any more
  CHECK_THROWS_AS(BytePairTokenizer::make(text, {.vocab_size = 256}), UsageError);
}

TEST_CASE("invalid vocabularies are data errors that name the file or the token") {
  const TemporaryFolder folder;
  const std::string path = write_tiny_byte_pairs(folder);
  const Json good = parse_json(read_text_file(path + "/encoder.json"));
  const std::string merges = read_text_file(path + "/vocab.bpe");
  const auto message = [&](const Json& tokens, const std::string& text) -> std::string {
    write_text_file(path + "/encoder.json", json_text(tokens));
    write_text_file(path + "/vocab.bpe", text);
    try {
      BytePairTokenizer::make({}, {.vocabulary = path});
      return "";
    } catch (const DataError& error) {
      return error.what();
    }
  };
  CHECK(message(good, merges).empty());
  CHECK(message(good, "#version: 0.2\r\nt o\r\n").empty());
  CHECK_THAT(message(good, merges + "x\n"), Catch::Contains("vocab.bpe:8: 'x' is not a merge"));
  CHECK_THAT(message(good, merges + "x y\n"), Catch::Contains("'xy' is not a token"));
  Json tokens = good;
  tokens["to"] = 3;
  CHECK_THAT(message(tokens, merges), Catch::Contains("encoder.json: the id of"));
  tokens = good;
  tokens.erase("\xC4\xA0");
  tokens[" "] = 32;
  CHECK_THAT(message(tokens, merges), Catch::Contains("a character that stands for no byte"));
  CHECK_THAT(message(Json::array(), merges), Catch::Contains("not an object of tokens"));
  CHECK_THROWS_WITH(BytePairTokenizer::make({}, {.vocabulary = folder.path()}), Catch::Contains("no encoder.json"));
  CHECK_THROWS_AS(BytePairTokenizer::make({}, {}), UsageError);
}

#endif

}  // namespace moe
