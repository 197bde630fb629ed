#include "core/convert/gguf_vocabulary.h"

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include "core/base/base64.h"
#include "core/base/check.h"
#include "core/base/integer.h"
#include "core/base/table.h"
#include "core/base/text.h"
#include "core/convert/sentence_piece_model.h"
#include "data/tokenizer.h"
#include "data/tokenizers/byte_pair.h"
#include "data/tokenizers/byte_pair_files.h"

namespace moe {

namespace {

constexpr const char* kModel = "tokenizer.ggml.model";
constexpr const char* kRule = "tokenizer.ggml.pre";
constexpr const char* kTokens = "tokenizer.ggml.tokens";
constexpr const char* kTypes = "tokenizer.ggml.token_type";
constexpr const char* kMerges = "tokenizer.ggml.merges";
constexpr const char* kScores = "tokenizer.ggml.scores";
constexpr const char* kNone = "none";
constexpr const char* kBytePairs = "gpt2";  // byte pairs with the spelling of bytes that GPT-2 has
constexpr const char* kUnigram = "t5";      // a unigram model
constexpr const char* kGpt2Rule = "gpt-2";  // how a text is divided into words

// Types of tokens, as files number them.
enum TokenType : int64_t { kNormal = 1, kUnknown = 2, kControl = 3, kUnused = 5, kByte = 6 };

constexpr const char* kPad = "<|pad|>";
constexpr unsigned char kNoUtf8 = 0xFF;  // no text in UTF-8 has this byte

struct Tokens {
  std::vector<std::string> texts;
  std::vector<int64_t> types;
  void add(std::string text, int64_t type) {
    texts.push_back(std::move(text));
    types.push_back(type);
  }
};

void put(std::vector<GgufEntry>& metadata, const char* key, GgufValue value) {
  metadata.push_back({key, std::move(value)});
}

GgufVocabulary without(const std::string& reason) {
  GgufVocabulary result;
  put(result.metadata, kModel, std::string(kNone));
  result.missing = reason;
  return result;
}

// Nothing is added to a text. `end`: the id at which generation ends.
void add_rules(int64_t end, std::vector<GgufEntry>& out) {
  for (const char* key :
       {"tokenizer.ggml.bos_token_id", "tokenizer.ggml.eos_token_id", "tokenizer.ggml.padding_token_id"})
    put(out, key, end);
  for (const char* key : {"tokenizer.ggml.add_bos_token", "tokenizer.ggml.add_eos_token",
                          "tokenizer.ggml.add_space_prefix", "tokenizer.ggml.remove_extra_whitespaces"})
    put(out, key, false);
}

void add_unused(Tokens& tokens, int64_t rows) {
  for (int64_t id = std::ssize(tokens.texts); id < rows; ++id) tokens.add(fmt::format("[PAD{}]", id), kUnused);
}

GgufVocabulary byte_pairs(Tokens tokens, std::vector<std::string> merges, int64_t end, int64_t rows) {
  add_unused(tokens, rows);
  GgufVocabulary result;
  std::vector<GgufEntry>& out = result.metadata;
  put(out, kModel, std::string(kBytePairs));
  put(out, kRule, std::string(kGpt2Rule));
  put(out, kTokens, std::move(tokens.texts));
  put(out, kTypes, std::move(tokens.types));
  put(out, kMerges, std::move(merges));
  add_rules(end, out);
  return result;
}

GgufVocabulary of_byte(const Json&, int64_t rows) {
  Tokens tokens;
  for (int byte = 0; byte < kNoUtf8; ++byte) tokens.add(spelling_of_byte(static_cast<unsigned char>(byte)), kNormal);
  tokens.add(kPad, kControl);
  return byte_pairs(std::move(tokens), {}, kNoUtf8, rows);
}

GgufVocabulary of_bpe(const Json& description, int64_t rows) {
  Tokens tokens;
  int64_t end = -1, pad = -1;
  for (const auto& token : description.at("tokens").get<std::vector<std::string>>()) {
    const int64_t id = std::ssize(tokens.texts);
    const bool is_end = token == BytePairTokenizer::kEndOfDocument;
    if (is_end) end = id;
    if (token == spelling_of_byte(kNoUtf8)) pad = id;
    tokens.add(token, is_end ? kControl : kNormal);
  }
  return byte_pairs(std::move(tokens), description.at("merges").get<std::vector<std::string>>(), end >= 0 ? end : pad,
                    rows);
}

// The character that a piece for a byte stands for, where a byte is one. A line's end is </s>, and blanks are escaped.
std::optional<std::string> ascii_of(const SentencePiece& piece) {
  if (piece.kind != SentencePiece::Kind::byte || piece.text.size() != 6) return std::nullopt;  // <0x41>
  const int byte = std::stoi(piece.text.substr(3, 2), nullptr, 16);
  if (byte >= 0x80 || byte == 0 || byte == '\n' || byte == ' ') return std::nullopt;
  return std::string(1, static_cast<char>(byte));
}

// As in hf_tokenizer.cpp, the token </s>, which our tokenizer puts at the end of a line, is the line end itself.
GgufVocabulary of_sentencepiece(const Json& description, int64_t rows) {
  const SentencePieceModel model = read_sentence_piece(from_base64(description.at("model").get<std::string>()));
  if (const std::string why = model.why_not_plain(); !why.empty()) return without(why);
  std::set<std::string> texts;
  for (const SentencePiece& piece : model.pieces) texts.insert(piece.text);
  Tokens tokens;
  std::vector<double> scores;
  for (const SentencePiece& piece : model.pieces) {
    const bool is_end = piece.text == "</s>";
    // llama.cpp falls back to no bytes. One that is a character by itself, and has no other piece, is a piece of it.
    const std::optional<std::string> character = ascii_of(piece);
    const bool is_byte = character && texts.count(*character) == 0;
    const bool is_normal = is_end || is_byte || piece.kind == SentencePiece::Kind::normal;
    const int64_t type = is_normal                                    ? kNormal
                         : piece.kind == SentencePiece::Kind::unknown ? kUnknown
                         : piece.kind == SentencePiece::Kind::byte    ? kByte
                                                                      : kControl;
    tokens.add(is_end ? "\n" : is_byte ? *character : piece.text, type);
    scores.push_back(is_byte ? kNeverChosen : piece.score);
  }
  add_unused(tokens, rows);
  scores.resize(tokens.texts.size(), kNeverChosen);
  GgufVocabulary result{.metadata = {},
                        .missing = {},
                        .note =
                            "characters beyond ASCII that no piece has become the unknown token in llama.cpp; in "
                            "training they were bytes. The end "
                            "of a line is a token of its own"};
  std::vector<GgufEntry>& out = result.metadata;
  put(out, kModel, std::string(kUnigram));
  put(out, kTokens, std::move(tokens.texts));
  put(out, kTypes, std::move(tokens.types));
  put(out, kScores, std::move(scores));
  put(out, "tokenizer.ggml.unknown_token_id", model.unknown);
  add_rules(model.unknown, out);
  return result;
}

GgufVocabulary of_char(const Json&, int64_t) {
  return without("llama.cpp wants a token for every byte, and this vocabulary has those of the training text alone");
}
GgufVocabulary of_word(const Json&, int64_t) {
  return without("llama.cpp has no tokenizer of words between blanks");
}
GgufVocabulary of_huggingface(const Json&, int64_t) {
  return without("llama.cpp divides texts into words by rules of its own, so its ids might differ");
}

GgufVocabulary of_external(const Json&, int64_t) {
  return without("the token ids were made by another program");
}

struct Kind {
  const char* name;
  GgufVocabulary (*make)(const Json& description, int64_t rows);
};
const Table<Kind>& kinds() {
  static const Table<Kind> table{"tokenizer",
                                 {{"byte", of_byte},
                                  {"char", of_char},
                                  {"word", of_word},
                                  {"bpe", of_bpe},
                                  {"sentencepiece", of_sentencepiece},
                                  {"huggingface", of_huggingface},
                                  {"tiktoken", of_huggingface},
                                  {"external", of_external}}};
  return table;
}

// ---- the way back ----

bool is_plain_bytes(const std::vector<std::string>& tokens) {
  if (tokens.size() != 256 || tokens[kNoUtf8] != kPad) return false;
  for (int byte = 0; byte < kNoUtf8; ++byte) {
    if (tokens[as_index(byte)] != spelling_of_byte(static_cast<unsigned char>(byte))) return false;
  }
  return true;
}

// The tokens without the unused ones at the end.
std::vector<std::string> used_tokens(const GgufFile& file) {
  std::vector<std::string> tokens = file.words(kTokens);
  const std::vector<int64_t> types = file.integers(kTypes);
  while (!tokens.empty() && types.size() >= tokens.size() && types[tokens.size() - 1] == kUnused) tokens.pop_back();
  return tokens;
}

// Nothing, and a reason, for a tokenizer that is none of ours.
std::optional<Json> description_of(const GgufFile& file, std::string& why) {
  const std::string model = file.word(kModel, kNone), rule = file.word(kRule, "");
  if (model != kBytePairs) {
    why = model == kNone ? "the file has none" : "it is of the kind " + model;
    return std::nullopt;
  }
  const std::vector<std::string> tokens = used_tokens(file), merges = file.words(kMerges);
  if (merges.empty() && is_plain_bytes(tokens)) return Json{{"name", "byte"}};
  if (rule != kGpt2Rule) {
    why = fmt::format("it divides texts into words by the rule '{}'", rule);
    return std::nullopt;
  }
  return Json{{"name", "bpe"}, {"tokens", tokens}, {"merges", merges}};
}

}  // namespace

GgufVocabulary gguf_vocabulary(const Json& description, int64_t rows) {
  const auto name = description.at("name").get<std::string>();
  if (const Kind* kind = kinds().find(name)) return kind->make(description, rows);
  return without(fmt::format("the tokenizer {} has no form in llama.cpp", name));
}

GgufTokenizer tokenizer_of(const GgufFile& file, int64_t rows) {
  GgufTokenizer result;
  try {
    if (const std::optional<Json> description = description_of(file, result.why_external)) {
      const std::unique_ptr<Tokenizer> tokenizer = load_tokenizer(*description, file.path());
      result.tokens = tokenizer->vocab_size();
      result.description = tokenizer->to_json();
      if (result.tokens <= rows) return result;
      result.why_external = fmt::format("it has {} ids, the model {}", result.tokens, rows);
    }
  } catch (const DataError& error) {
    result.why_external = error.what();
  } catch (const JsonError& error) {
    result.why_external = error.what();
  }
  const int64_t used = std::ssize(used_tokens(file));
  result.tokens = used > 0 && used < rows ? used : rows;
  result.description = Json{{"name", "external"}, {"vocab_size", result.tokens}};
  return result;
}

}  // namespace moe
