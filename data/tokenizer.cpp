#include "data/tokenizer.h"

#include <filesystem>

#include "core/base/json.h"
#include "data/tokenizers/byte.h"
#include "data/tokenizers/byte_pair.h"
#include "data/tokenizers/character.h"
#include "data/tokenizers/external.h"
#include "data/tokenizers/pipeline/pipeline_tokenizer.h"
#include "data/tokenizers/sentence_piece.h"
#include "data/tokenizers/tiktoken.h"
#include "data/tokenizers/trained.h"
#include "data/tokenizers/word.h"

namespace moe {

const Table<TokenizerEntry>& tokenizers() {
  static const Table<TokenizerEntry> table(
      "tokenizer",
      {
          {"byte", "one id per byte value, 256 in all; takes any input", ByteTokenizer::from_json, ByteTokenizer::make,
           nullptr},
          {"char", "one id per distinct byte of the training text", CharacterTokenizer::from_json,
           CharacterTokenizer::make, nullptr},
          {"word", "one id per word between blanks, and one for the end of a line; rare words (--min-count) are <unk>",
           WordTokenizer::from_json, WordTokenizer::make, nullptr},
          {"bpe",
           "GPT-2's byte pairs: --vocabulary is the folder with encoder.json and vocab.bpe; or learned (--vocab-size); "
           "takes any input",
           BytePairTokenizer::from_json, BytePairTokenizer::make, BytePairTokenizer::is_vocabulary},
          {"sentencepiece", "read from a .model file (--vocabulary), or learned from the training text (--vocab-size)",
           SentencePieceTokenizer::from_json, SentencePieceTokenizer::make, SentencePieceTokenizer::is_vocabulary},
          {"huggingface",
           "read from a tokenizer.json of Hugging Face's tokenizers (--vocabulary: the file or its folder)",
           PipelineTokenizer::from_json, PipelineTokenizer::make, PipelineTokenizer::is_vocabulary},
          {"tiktoken", "read from a file of tokens and ranks (--vocabulary), with the rule for words --pattern",
           TiktokenTokenizer::from_json, TiktokenTokenizer::make, TiktokenTokenizer::is_vocabulary},
          {"trained", "that of a checkpoint or of a prepared corpus (--vocabulary: its folder, or moe_tokenizer.json)",
           nullptr, make_trained_tokenizer, is_trained_tokenizer},
          {"external", "tokens made by another program", ExternalTokenizer::from_json, nullptr, nullptr},
      });
  return table;
}

template <>
std::vector<std::string> words_of<TokenizerEntry>() {
  std::vector<std::string> words;
  for (const TokenizerEntry& entry : tokenizers()) {
    if (entry.make) words.emplace_back(entry.name);
  }
  return words;
}

std::unique_ptr<Tokenizer> naming(const std::string& path, const std::function<std::unique_ptr<Tokenizer>()>& make) {
  try {
    return make();
  } catch (const DataError& error) {
    if (std::string_view(error.what()).find(path) != std::string_view::npos) throw;
    raise<DataError>("{}: {}", path, error.what());
  }
}

void refuse_foreign(const TokenizerOptions& options, std::string_view name, std::string_view takes) {
  const auto refuse = [&](bool given, std::string_view option, std::string_view what) {
    if (given && takes.find(option) == takes.npos)
      raise<UsageError>("the tokenizer '{}' does not accept a {}", name, what);
  };
  refuse(options.min_count != 1, "min_count", "least count of a word");
  refuse(!options.vocabulary.empty(), "vocabulary", "vocabulary that another program made");
  refuse(options.vocab_size != 0, "vocab_size", "vocabulary size");
  refuse(!options.pattern.empty(), "pattern", "pattern of words");
}

std::string Tokenizer::decode(std::span<const int32_t> ids) const {
  std::string bytes;
  for (const int32_t id : ids) decode_next(id, bytes);
  return bytes;
}

void Tokenizer::decode_next(int32_t id, std::string& bytes) const {
  if (id < 0 || id >= vocab_size()) raise<DataError>("token {} is outside the vocabulary of {}", id, vocab_size());
  append_bytes(id, bytes);
}

static const TokenizerEntry& recognise(const std::string& path) {
  if (!std::filesystem::exists(path)) raise<DataError>("{}: no such file or folder", path);
  std::vector<std::string> known;
  for (const TokenizerEntry& entry : tokenizers()) {
    if (!entry.is_vocabulary) continue;
    if (entry.is_vocabulary(path)) return entry;
    known.emplace_back(entry.name);
  }
  raise<DataError>("{}: not the vocabulary of a known tokenizer; known: {}", path, join(known, ", "));
}

const TokenizerEntry& find_tokenizer(const std::string& word, TokenizerOptions& options) {
  if (tokenizers().find(word) || !std::filesystem::exists(word)) {
    const TokenizerEntry& entry = tokenizers().at(word);
    if (!entry.make) raise<UsageError>("the tokenizer '{}' cannot be made from text", word);
    return entry;
  }
  if (!options.vocabulary.empty())
    raise<UsageError>("two vocabularies are given, {} and {}; expected one", word, options.vocabulary);
  options.vocabulary = word;
  return recognise(word);
}

std::unique_ptr<Tokenizer> open_tokenizer(const std::string& path, const std::string& pattern) {
  return recognise(path).make({}, {.vocabulary = path, .pattern = pattern});
}

std::unique_ptr<Tokenizer> load_tokenizer(const Json& description, const std::string& origin) {
  try {
    const TokenizerEntry& entry = tokenizers().at(description.at("name").get<std::string>());
    if (!entry.from_json) raise<DataError>("no tokenizer is called '{}'", entry.name);
    return entry.from_json(description);
  } catch (const JsonError& error) {
    raise<DataError>("{}: invalid tokenizer description: {}", origin, error.what());
  } catch (const Error& error) {
    raise<DataError>("{}: {}", origin, error.what());
  }
}

}  // namespace moe
