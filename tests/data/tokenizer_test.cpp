#include "data/tokenizer.h"

#include "data/tokenizers/character.h"
#include "data/tokenizers/external.h"
#include "tests/support/catch.h"

namespace moe {

static TrainingText text_of(std::string text) {
  return [text](const TextVisitor& visit) {
    visit(std::string_view(text).substr(0, text.size() / 2));
    visit(std::string_view(text).substr(text.size() / 2));
  };
}

TEST_CASE("every tokenizer made from text gives the text back, also after a trip through JSON") {
  const std::string text = "To be, or not to be: \xC3\xA9\n";
  for (const TokenizerEntry& entry : tokenizers()) {
    if (!entry.train) continue;
    INFO(entry.name);
    const auto trained = entry.train(text_of(text));
    CHECK(trained->name() == entry.name);
    const auto loaded = load_tokenizer(nlohmann::json::parse(trained->to_json().dump()), "test");
    CHECK(loaded->vocab_size() == trained->vocab_size());
    std::vector<int32_t> ids = {7};
    trained->encode(text, ids);
    CHECK(ids.front() == 7);
    ids.erase(ids.begin());
    for (const int32_t id : ids) CHECK((id >= 0 && id < trained->vocab_size()));
    CHECK(loaded->decode(ids) == text);
    CHECK_THROWS_AS(loaded->decode(std::vector<int32_t>{-1}), DataError);
    CHECK_THROWS_AS(loaded->decode(std::vector<int32_t>{static_cast<int32_t>(loaded->vocab_size())}), DataError);
  }
}

TEST_CASE("the char tokenizer numbers the distinct bytes in byte order") {
  const auto tokenizer = CharacterTokenizer::train(text_of("cab cab"));
  CHECK(tokenizer->vocab_size() == 4);
  std::vector<int32_t> ids;
  tokenizer->encode(" abc", ids);
  CHECK(ids == std::vector<int32_t>{0, 1, 2, 3});
}

TEST_CASE("the char tokenizer names an unknown byte and its place, and leaves the ids as they were") {
  const auto tokenizer = CharacterTokenizer::train(text_of("abc"));
  std::vector<int32_t> ids = {1};
  CHECK_THROWS_WITH(tokenizer->encode("abXc", ids, 1000), Catch::Contains("0x58 'X' at offset 1002"));
  CHECK(ids == std::vector<int32_t>{1});
}

TEST_CASE("an external tokenizer shows ids and takes no text") {
  const ExternalTokenizer tokenizer(50257);
  CHECK(tokenizer.decode(std::vector<int32_t>{15496, 995}) == "15496 995");
  std::vector<int32_t> ids;
  CHECK_THROWS_AS(tokenizer.encode("a", ids), DataError);
}

TEST_CASE("unusable tokenizer descriptions are data errors that name their origin") {
  for (const char* text : {R"({})", R"({"name":"klingon"})", R"({"name":"char"})", R"({"name":"char","alphabet":[]})",
                           R"({"name":"char","alphabet":[5,5]})", R"({"name":"external","vocab_size":0})", "[]"}) {
    INFO(text);
    CHECK_THROWS_AS(load_tokenizer(nlohmann::json::parse(text), "somewhere"), DataError);
    CHECK_THROWS_WITH(load_tokenizer(nlohmann::json::parse(text), "somewhere"), Catch::Contains("somewhere"));
  }
}

}  // namespace moe
