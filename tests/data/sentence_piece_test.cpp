#include <algorithm>

#include "data/tokenizers/sentence_piece.h"

#include "core/base/base64.h"
#include "data/posix_file.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"

#if MOE_HAS_SENTENCEPIECE
#include <sentencepiece_trainer.h>
#endif

namespace moe {

#if MOE_HAS_SENTENCEPIECE

static TrainingText repeated(const std::string& line) {
  return [line](const TextVisitor& visit) {
    for (int i = 0; i < 200; ++i) visit(line);
  };
}

TEST_CASE("SentencePiece learns pieces deterministically, and encodes unknown characters as bytes") {
  const TrainingText text =
      repeated("played player playing plays worked worker working works talked talker talking talks\n");
  const TokenizerOptions options{.vocab_size = 290};
  const auto tokenizer = SentencePieceTokenizer::make(text, options);
  CHECK(tokenizer->to_json() == SentencePieceTokenizer::make(text, options)->to_json());
  CHECK(tokenizer->vocab_size() > 258);  // <unk>, </s>, bytes
  CHECK(tokenizer->vocab_size() <= 290);
  std::vector<int32_t> ids;
  TokenMeasures measures;
  const std::string other = "  the cat\n\nsat \xE2\x98\x83  on\nZ";
  CHECK(tokenizer->encode(other, ids, measures) == 0);
  CHECK(tokenizer->decode(ids) == other);
  CHECK(std::count(ids.begin(), ids.end(), *tokenizer->end_of_document()) == 3);  // line ends
  std::vector<int32_t> known;
  tokenizer->encode(" played working", known);
  CHECK(known.size() < 10);
  // In parts that are cut before a blank, it is the same.
  std::vector<int32_t> parts;
  tokenizer->encode(other.substr(0, 5), parts);
  tokenizer->encode(other.substr(5), parts);
  CHECK(parts == ids);
}

TEST_CASE("characters that a SentencePiece model lacks are counted as unknown text") {
  const TemporaryFolder folder;
  write_text_file(folder / "text", "played player\nplaying plays\n");
  REQUIRE(sentencepiece::SentencePieceTrainer::Train({{"input", folder / "text"},
                                                      {"model_prefix", folder / "m"},
                                                      {"vocab_size", "20"},
                                                      {"hard_vocab_limit", "false"},
                                                      {"minloglevel", "2"}})
              .ok());
  const std::string model = read_text_file(folder / "m.model");
  const SentencePieceTokenizer tokenizer(model);
  std::vector<int32_t> ids;
  TokenMeasures measures;
  tokenizer.encode("player \xE2\x98\x83\xC3\xA9 plays\nplays Z\n", ids, measures);
  int64_t bytes = 0, tokens = 0;
  for (size_t i = 0; i < ids.size(); ++i) {
    CHECK((ids[i] == 0) == (measures.unknown[i] > 0));
    bytes += measures.unknown[i], tokens += measures.unknown[i] > 0;
  }
  CHECK(bytes == 6);
  CHECK(tokens >= 2);
}

TEST_CASE("a line that is too long for the library is split for learning") {
  std::string line;
  while (line.size() < 100'000) line += "to be or not to be ";
  const TrainingText text = [&](const TextVisitor& visit) { visit(line); };
  const auto tokenizer = SentencePieceTokenizer::make(text, {.vocab_size = 280});
  std::vector<int32_t> ids;
  tokenizer->encode(line, ids);
  CHECK(ids.size() < line.size() / 2);
}

TEST_CASE("a SentencePiece model is a valid file, or it is refused") {
  const TemporaryFolder folder;
  const auto learned = SentencePieceTokenizer::make(repeated("a bc a bc\n"), {.vocab_size = 262});
  write_text_file(folder / "m.model", from_base64(learned->to_json().at("model").get<std::string>()));
  CHECK(open_tokenizer(folder / "m.model")->to_json() == learned->to_json());
  write_text_file(folder / "bad.model", "no model at all");
  CHECK_THROWS_WITH(open_tokenizer(folder / "bad.model"), Catch::Contains("bad.model: not the vocabulary of a known"));
  write_text_file(folder / "bad.model", "\nno model at all");
  CHECK_THROWS_WITH(open_tokenizer(folder / "bad.model"), Catch::Contains("bad.model: not a SentencePiece model"));
  CHECK_THROWS_AS(open_tokenizer(folder / "absent.model"), DataError);
  CHECK_THROWS_AS(SentencePieceTokenizer::make(repeated("a"), {}), UsageError);
  CHECK_THROWS_AS(SentencePieceTokenizer::make(repeated("a"), {.vocab_size = -1}), UsageError);
  CHECK_THROWS_WITH(SentencePieceTokenizer::make(repeated("a"), {.vocab_size = 3}), Catch::Contains("cannot learn"));
}

#endif

}  // namespace moe
