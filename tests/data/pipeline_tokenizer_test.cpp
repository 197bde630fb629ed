#include "data/tokenizers/pipeline/pipeline_tokenizer.h"

#include <algorithm>
#include <filesystem>
#include <numeric>
#include <string>
#include <utility>

#include "core/base/integer.h"
#include "core/base/text.h"
#include "data/corpus_manifest.h"
#include "data/corpus_preparation.h"
#include "data/tokenizers/pipeline/unicode.h"
#include "tests/data/golden_tokenizers.h"
#include "tests/support/catch.h"

namespace moe {

#if MOE_HAS_ICU

static PipelineTokenizer golden(const std::string& name) {
  return PipelineTokenizer(golden_tokenizer(name).at("file"));
}

static std::vector<int32_t> ids_of(const Tokenizer& tokenizer, std::string_view text) {
  std::vector<int32_t> ids;
  tokenizer.encode(text, ids);
  return ids;
}

TEST_CASE("a tokenizer.json gives the ids that Hugging Face's library gives") {
  const std::vector<std::string> texts = golden_texts();
  CHECK(golden_tokenizers().size() >= 15);
  for (const std::string& name : golden_tokenizers()) {
    const Json expected = golden_tokenizer(name);
    const PipelineTokenizer tokenizer(expected.at("file"));
    for (size_t i = 0; i < texts.size(); ++i) {
      INFO(name << ", text " << i);
      CHECK(ids_of(tokenizer, texts[i]) == expected.at("ids").at(i).get<std::vector<int32_t>>());
    }
  }
}

TEST_CASE("each byte of a text belongs to one token or to what follows the last") {
  for (const std::string& name : golden_tokenizers()) {
    const PipelineTokenizer tokenizer = golden(name);
    for (const std::string& text : golden_texts()) {
      INFO(name << ": " << text);
      std::vector<int32_t> ids;
      TokenMeasures measures;
      int64_t bytes = tokenizer.encode(text, ids, measures);
      REQUIRE(measures.lengths.size() == ids.size());
      REQUIRE(measures.unknown.size() == ids.size());
      for (size_t i = 0; i < ids.size(); ++i) {
        bytes += measures.lengths[i];
        CHECK(measures.unknown[i] <= measures.lengths[i]);
        CHECK(measures.unknown[i] >= 0);
      }
      CHECK(bytes == std::ssize(text));
      if (const auto by_id = tokenizer.bytes_by_id()) {
        for (size_t i = 0; i < ids.size(); ++i) CHECK((*by_id)[as_index(ids[i])] == measures.lengths[i]);
      }
    }
  }
}

TEST_CASE("a text that is encoded part by part has the ids of the whole") {
  std::string text;
  for (const std::string& part : golden_texts()) text += part + " ";
  for (const std::string& name : golden_tokenizers()) {
    const PipelineTokenizer tokenizer = golden(name);
    const std::vector<int32_t> whole = ids_of(tokenizer, text);
    for (const size_t step : {1, 7, 100, 400}) {
      INFO(name << ", " << step << " bytes at a time");
      std::vector<int32_t> ids;
      size_t done = 0;
      int64_t parts = 0;
      for (size_t end = step; done < text.size(); end = std::min(end + step, text.size())) {
        while (end < text.size() && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) ++end;
        const TextPart part{.continues = done > 0, .ends = end >= text.size(), .offset = static_cast<int64_t>(done)};
        const std::string_view rest = std::string_view(text).substr(done, end - done);
        const size_t bytes = tokenizer.encode_part(rest, part, ids, nullptr).bytes;
        parts += bytes > 0;
        done += bytes;
      }
      CHECK((ids == whole));
      CHECK(parts > 1);
    }
  }
}

TEST_CASE("bytes that are not UTF-8 are tokens of a byte-level tokenizer, and decoding restores every text") {
  for (const char* name : {"gpt2", "llama3", "deepseek"}) {
    const PipelineTokenizer tokenizer = golden(name);
    REQUIRE(tokenizer.bytes_by_id());
    std::string text;
    for (int i = 0; i < 5000; ++i) text += static_cast<char>(i * 7919 >> 4);
    text += "a\xFF\xC3 b\xE2\x96";
    for (const std::string& whole : golden_texts()) text += whole;
    INFO(name);
    CHECK(tokenizer.decode(ids_of(tokenizer, text)) == text);
  }
}

TEST_CASE("properties of characters are those of the library's older tables") {
  CHECK(is_bert_accent(0x301));
  CHECK_FALSE(is_bert_accent('a'));
  CHECK(is_bert_accent(0x1734));        // of another category since
  CHECK_FALSE(is_bert_accent(0x1886));  // an accent since
  CHECK_FALSE(is_bert_accent(0xAFA));   // newer
  CHECK(is_mark(0x903));
  CHECK(is_mark(0x1CF2));
  CHECK_FALSE(is_mark(0xAFA));
  CHECK(is_punctuation('$'));
  CHECK(is_punctuation(0x166D));
  CHECK_FALSE(is_punctuation(0x2E43));
  CHECK(is_bert_control(0xAD));
  CHECK_FALSE(is_bert_control(0x378));  // no character
}

TEST_CASE("a byte that is not UTF-8 is unknown text where a vocabulary has no tokens for bytes") {
  for (const auto& [name, unknown] : {std::pair("bert", 1), std::pair("t5", 1), std::pair("llama2", 0)}) {
    INFO(name);
    const PipelineTokenizer tokenizer = golden(name);
    std::vector<int32_t> ids;
    TokenMeasures measures;
    CHECK(tokenizer.encode("be\xFF to", ids, measures) == 0);
    CHECK(std::count(measures.unknown.begin(), measures.unknown.end(), 1) == unknown);
    CHECK(std::accumulate(measures.lengths.begin(), measures.lengths.end(), 0) == 6);
  }
}

TEST_CASE("a long text has the ids and measures of its parts, whatever thread encodes them") {
  std::string text;
  for (int i = 0; text.size() < 400'000; ++i)
    text += golden_texts()[0] + " words and more of them " + std::to_string(i);
  for (const std::string& name : golden_tokenizers()) {
    INFO(name);
    const PipelineTokenizer tokenizer = golden(name);
    std::vector<int32_t> whole, ids;
    TokenMeasures of_whole, measures;
    const int64_t left = tokenizer.encode(text, whole, of_whole);
    int64_t waiting = 0;
    for (size_t done = 0, size = 50'000; done < text.size();) {  // too short to be divided among threads
      const TextPart part{.continues = done > 0, .ends = done + size >= text.size()};
      const size_t old = ids.size();
      const EncodedPart encoded =
          tokenizer.encode_part(std::string_view(text).substr(done, size), part, ids, &measures);
      if (ids.size() > old) measures.lengths[old] += static_cast<int32_t>(std::exchange(waiting, 0));
      waiting += encoded.uncovered;
      REQUIRE(encoded.bytes > 0);
      done += encoded.bytes;
    }
    CHECK((ids == whole));
    CHECK((measures.lengths == of_whole.lengths));
    CHECK((measures.unknown == of_whole.unknown));
    CHECK(waiting == left);
  }
}

TEST_CASE("a text that spells a special token is text, and other added tokens are found in it") {
  const PipelineTokenizer gpt2 = golden("gpt2");
  REQUIRE(gpt2.end_of_document());
  const auto ids = ids_of(gpt2, "a<|endoftext|>");
  CHECK(std::count(ids.begin(), ids.end(), *gpt2.end_of_document()) == 0);
  CHECK(gpt2.decode(std::vector<int32_t>{ids[0], *gpt2.end_of_document()}) == "a");
  const PipelineTokenizer qwen = golden("qwen");
  const auto think = static_cast<int32_t>(qwen.vocab_size() - 1);
  CHECK(ids_of(qwen, "<think>") == std::vector<int32_t>{think});
  CHECK(qwen.decode(std::vector<int32_t>{think}) == "<think>");
}

TEST_CASE("of a model's folder the tokenizer.json alone is described in a corpus") {
  const TemporaryFolder folder;
  std::filesystem::create_directories(folder / "model");
  std::filesystem::rename(write_golden_tokenizer(folder, "llama3"), folder / "model/tokenizer.json");
  write_text_file(folder / "model/model.safetensors", "large");
  write_text_file(folder / "a.txt", golden_texts()[0] + "\n\n" + golden_texts()[1] + "\n");
  PreparationOptions options{{folder / "a.txt"}, folder / "c", "", folder / "model", "60/20/20", "", 0, false};
  CHECK(prepare_corpus(options));
  const CorpusManifest manifest = CorpusManifest::read(folder / "c");
  CHECK(manifest.source.at("tokenizer").get<std::string>() == "huggingface");
  CHECK(manifest.source.at("vocabulary").size() == 1);
  CHECK(manifest.source.at("vocabulary").at(0).at("file").get<std::string>() == "tokenizer.json");
  CHECK_FALSE(prepare_corpus(options));
}

TEST_CASE("a long word is encoded fast by a tokenizer.json") {
  std::string text;
  for (int i = 0; i < 300'000; ++i) text += "to";
  const PipelineTokenizer tokenizer = golden("gpt2");
  CHECK(tokenizer.decode(ids_of(tokenizer, text)) == text);
}

// The file of gpt2 with one of its members replaced.
static Json changed(const char* member, const char* json) {
  Json file = golden_tokenizer("gpt2").at("file");
  file[member] = parse_json(json);
  return file;
}
static Json with_option(const char* option, const char* json) {
  Json file = golden_tokenizer("gpt2").at("file");
  file["model"][option] = parse_json(json);
  return file;
}

TEST_CASE("what of a tokenizer.json is not supported is refused by its name") {
  const auto message = [](const Json& file) -> std::string {
    try {
      load_tokenizer({{"name", "huggingface"}, {"file", file}}, "t.json");
      return "";
    } catch (const DataError& error) {
      return error.what();
    }
  };
  CHECK(message(golden_tokenizer("gpt2").at("file")).empty());
  CHECK_THAT(message(changed("normalizer", R"({"type": "Nmt"})")), Catch::Contains("normaliser Nmt is not supported"));
  CHECK_THAT(message(changed("pre_tokenizer", R"({"type": "UnicodeScripts"})")), Catch::Contains("UnicodeScripts"));
  CHECK_THAT(message(changed("decoder", R"({"type": "CTC"})")), Catch::Contains("the decoder CTC"));
  CHECK_THAT(message(changed("model", R"({"type": "Other", "vocab": {}})")), Catch::Contains("the model Other"));
  CHECK_THAT(message(with_option("dropout", "0.1")), Catch::Contains("the option dropout"));
  CHECK_THAT(message(with_option("end_of_word_suffix", R"("</w>")")), Catch::Contains("end_of_word_suffix"));
  CHECK(message(with_option("end_of_word_suffix", R"("")")).empty());
  CHECK_THAT(message(with_option("merges", R"(["a klingon"])")), Catch::Contains("'klingon' of a merge"));
  CHECK_THAT(message(with_option("vocab", R"({"a": 1, "b": 1})")), Catch::Contains("id 1 occurs twice"));
  for (const char* expression : {"\\\\h+", "\\\\p{N}{1,3}+", "(unclosed"}) {
    const std::string json =
        fmt::format(R"({{"type": "Split", "pattern": {{"Regex": "{}"}}, "behavior": "Isolated"}})", expression);
    CHECK_THAT(message(changed("pre_tokenizer", json.c_str())), Catch::Contains("the regular expression"));
  }
  const char* after = R"({"type": "Sequence", "pretokenizers": [{"type": "ByteLevel"}, {"type": "Whitespace"}]})";
  CHECK_THAT(message(changed("pre_tokenizer", after)), Catch::Contains("follows ByteLevel"));
  CHECK_THAT(message(parse_json("[]")), Catch::Contains("t.json: invalid tokenizer description"));
}

TEST_CASE("a character without a token is a data error with its place, and the ids stay") {
  Json file = golden_tokenizer("gpt2").at("file");
  file["pre_tokenizer"] = nullptr;  // its pieces are characters then
  const PipelineTokenizer tokenizer(file);
  CHECK_FALSE(tokenizer.bytes_by_id());
  std::vector<int32_t> ids = {5};
  CHECK_THROWS_WITH(tokenizer.encode("ab\nc", ids, 100), Catch::Contains("byte 0x0a at offset 102"));
  CHECK(ids == std::vector<int32_t>{5});
  CHECK_THROWS_WITH(tokenizer.encode("ab\xFF", ids, 100), Catch::Contains("byte 0xff at offset 102 is not UTF-8"));
}

#endif

}  // namespace moe
