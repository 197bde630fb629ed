#include "data/tokenizers/tiktoken.h"

#include <string>

#include "core/base/json_text.h"
#include "data/posix_file.h"
#include "tests/data/golden_tokenizers.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"

namespace moe {

#if MOE_HAS_ICU

TEST_CASE("tiktoken's vocabularies give tiktoken's ids with the rules for words of its encodings") {
  const TemporaryFolder folder;
  const std::string path = write_golden_tiktoken(folder);
  const Json golden = golden_tiktoken();
  const std::vector<std::string> texts = golden_texts();
  for (const char* pattern : {"cl100k", "o200k"}) {
    const auto tokenizer = TiktokenTokenizer::make({}, {.vocabulary = path, .pattern = pattern});
    for (size_t i = 0; i < golden.at(pattern).size(); ++i) {
      INFO(pattern << ", text " << i);
      std::vector<int32_t> ids;
      tokenizer->encode(texts[i], ids);
      CHECK(ids == golden.at(pattern).at(i).get<std::vector<int32_t>>());
    }
  }
}

TEST_CASE("a rule of tiktoken's may be any regular expression, and restores all bytes") {
  const TemporaryFolder folder;
  const auto tokenizer = TiktokenTokenizer::make({}, {.vocabulary = write_golden_tiktoken(folder), .pattern = "\\S+"});
  std::vector<int32_t> ids;
  const std::string text = "to be\n\xFF or\xE2 not";
  tokenizer->encode(text, ids);
  CHECK(tokenizer->decode(ids) == text);
  CHECK(load_tokenizer(tokenizer->to_json(), "test")->to_json() == tokenizer->to_json());
  CHECK_FALSE(tokenizer->end_of_document());
}

TEST_CASE("tiktoken's vocabularies need a rule, and faults in them are data errors with the line") {
  const TemporaryFolder folder;
  const std::string path = write_golden_tiktoken(folder), text = read_text_file(path);
  CHECK_THROWS_WITH(TiktokenTokenizer::make({}, {.vocabulary = path}), Catch::Contains("gpt2, cl100k, o200k"));
  const auto message = [&](const std::string& content, const char* pattern = "gpt2") -> std::string {
    write_text_file(path, content);
    try {
      TiktokenTokenizer::make({}, {.vocabulary = path, .pattern = pattern});
      return "";
    } catch (const DataError& error) {
      return error.what();
    }
  };
  CHECK(message(text).empty());
  CHECK_THAT(message(text, "(unclosed"), Catch::Contains("the regular expression (unclosed"));
  CHECK_THAT(message("IQ== 0\nnothing\n"), Catch::Contains(":2: 'nothing' is not a token"));
  CHECK_THAT(message("IQ== 0\nIg== 0\n"), Catch::Contains("the rank 0 occurs twice"));
  CHECK_THAT(message("IQ== 0\n"), Catch::Contains("a byte has no token"));
  CHECK(message(text + "IQ== 300\n").find("twice") != std::string::npos);
}

#endif

}  // namespace moe
