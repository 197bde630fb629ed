#include "core/convert/hf_tokenizer.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <memory>

#include "core/base/base64.h"
#include "core/base/check.h"
#include "core/base/integer.h"
#include "core/base/table.h"
#include "core/base/text.h"
#include "core/convert/sentence_piece_model.h"
#include "data/tokenizer.h"
#include "data/tokenizers/byte_pair.h"
#include "data/tokenizers/byte_pair_files.h"
#include "data/tokenizers/word.h"

namespace moe {

namespace {

Json added_token(int64_t id, const std::string& content, bool special) {
  return {{"id", id},        {"content", content},  {"single_word", false}, {"lstrip", false},
          {"rstrip", false}, {"normalized", false}, {"special", special}};
}

// The parts of tokenizer.json that are alike for all kinds.
Json tokenizer_file(Json added, Json normalizer, Json pre_tokenizer, Json decoder, Json model) {
  Json file = {{"version", "1.0"}, {"truncation", nullptr}, {"padding", nullptr}};
  file["added_tokens"] = std::move(added);
  file["normalizer"] = std::move(normalizer);
  file["pre_tokenizer"] = std::move(pre_tokenizer);
  file["post_processor"] = nullptr;
  file["decoder"] = std::move(decoder);
  file["model"] = std::move(model);
  return file;
}

// split_special_tokens: text that spells a special token is text, as for our tokenizers.
Json tokenizer_config(int64_t positions) {
  return {{"tokenizer_class", "PreTrainedTokenizerFast"},
          {"clean_up_tokenization_spaces", false},
          {"model_max_length", positions},
          {"split_special_tokens", true},
          {"add_prefix_space", false}};
}

Json byte_level(bool use_regex) {
  return {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", false}, {"use_regex", use_regex}};
}

Json byte_pair_model(Json vocab, Json merges) {
  Json model = {{"type", "BPE"},
                {"dropout", nullptr},
                {"unk_token", nullptr},
                {"continuing_subword_prefix", nullptr},
                {"end_of_word_suffix", nullptr},
                {"fuse_unk", false},
                {"byte_fallback", false},
                {"ignore_merges", false}};
  model["vocab"] = std::move(vocab);
  model["merges"] = std::move(merges);
  return model;
}

void set_pad(HfTokenizer& result, int64_t id, const std::string& token) {
  result.pad_id = id;
  result.config["pad_token"] = token;
  // Programs such as lm-eval want a token for the end. Nothing stops at it, because config.json does not name it.
  if (!result.end_id) result.config["eos_token"] = token;
  Json decoder = Json::object();
  Json entry = added_token(id, token, true);
  entry.erase("id");
  decoder[std::to_string(id)] = std::move(entry);
  result.config["added_tokens_decoder"] = std::move(decoder);
}

// No byte of UTF-8 has this value, so its id can be the padding.
constexpr int kNoUtf8 = 0xFF;
constexpr const char* kPad = "<|pad|>";

// The id of the byte that is least missed where transformers leaves out special tokens: a control character, a sign, or
// the last letter.
size_t least_missed(const std::vector<unsigned char>& alphabet) {
  const auto find = [&](auto fits) { return std::find_if(alphabet.rbegin(), alphabet.rend(), fits); };
  auto found = find([](unsigned char c) { return c == kNoUtf8; });
  if (found == alphabet.rend()) found = find([](unsigned char c) { return c < ' ' && c != '\n'; });
  if (found == alphabet.rend()) found = find([](unsigned char c) { return c > ' ' && !std::isalnum(c); });
  if (found == alphabet.rend()) found = alphabet.rbegin();
  return static_cast<size_t>(alphabet.rend() - found) - 1;
}

// A tokenizer with an id for each byte of `alphabet`.
HfTokenizer bytes(const std::vector<unsigned char>& alphabet, int64_t positions) {
  const size_t pad = least_missed(alphabet);
  const bool is_free = alphabet[pad] == kNoUtf8;
  const std::string pad_token = is_free ? kPad : spelling_of_byte(alphabet[pad]);
  Json vocab = Json::object();
  for (size_t id = 0; id < alphabet.size(); ++id) vocab[id == pad ? pad_token : spelling_of_byte(alphabet[id])] = id;
  HfTokenizer result;
  Json added = Json::array();
  added.push_back(added_token(static_cast<int64_t>(pad), pad_token, true));
  result.tokenizer = tokenizer_file(std::move(added), nullptr, byte_level(false), byte_level(false),
                                    byte_pair_model(std::move(vocab), Json::array()));
  result.config = tokenizer_config(positions);
  set_pad(result, static_cast<int64_t>(pad), pad_token);
  if (!is_free) {
    result.warning = fmt::format(
        "all ids stand for text, so the padding is byte 0x{:02x}, which transformers leaves out of a text that it "
        "decodes "
        "with skip_special_tokens=True",
        alphabet[pad]);
  }
  return result;
}

HfTokenizer of_byte(const Json&, int64_t positions) {
  std::vector<unsigned char> all;
  for (int byte = 0; byte < 256; ++byte) all.push_back(static_cast<unsigned char>(byte));
  return bytes(all, positions);
}

HfTokenizer of_char(const Json& description, int64_t positions) {
  HfTokenizer result = bytes(description.at("alphabet").get<std::vector<unsigned char>>(), positions);
  result.note =
      "The vocabulary has the bytes of the training text alone. moe-data refuses a text with others; transformers "
      "leaves them out without a word.";
  return result;
}

HfTokenizer of_bpe(const Json& description, int64_t positions) {
  const auto tokens = description.at("tokens").get<std::vector<std::string>>();
  Json vocab = Json::object(), merges = Json::array();
  int64_t end = -1, pad = -1;
  const std::string free = spelling_of_byte(kNoUtf8);
  for (size_t id = 0; id < tokens.size(); ++id) {
    vocab[tokens[id]] = id;
    if (tokens[id] == BytePairTokenizer::kEndOfDocument) end = static_cast<int64_t>(id);
    if (tokens[id] == free) pad = static_cast<int64_t>(id);
  }
  for (const Json& merge : description.at("merges")) merges.push_back(merge);
  HfTokenizer result;
  result.config = tokenizer_config(positions);
  const std::string token = end >= 0 ? BytePairTokenizer::kEndOfDocument : free;
  if (end >= 0) {
    result.end_id = pad = end;
    result.config["eos_token"] = token;
    result.config["bos_token"] = token;
  }
  set_pad(result, pad, token);
  Json added = Json::array();
  added.push_back(added_token(pad, token, true));
  result.tokenizer = tokenizer_file(std::move(added), nullptr, byte_level(true), byte_level(true),
                                    byte_pair_model(std::move(vocab), std::move(merges)));
  return result;
}

HfTokenizer of_word(const Json& description, int64_t positions) {
  const auto words = description.at("words").get<std::vector<std::string>>();
  Json vocab = Json::object();
  for (size_t id = 0; id < words.size(); ++id) {
    if (!is_utf8(words[id])) return {.refusal = fmt::format("its word {} is not UTF-8", id)};
    vocab[words[id]] = id;
  }
  HfTokenizer result;
  result.config = tokenizer_config(positions);
  result.config["unk_token"] = WordTokenizer::kUnknown;
  set_pad(result, 0, WordTokenizer::kUnknown);
  Json added = Json::array();
  added.push_back(added_token(0, WordTokenizer::kUnknown, true));
  // A line's end is a word of its own. What separates words is removed.
  const Json normalizer = {
      {"type", "Replace"}, {"pattern", {{"String", "\n"}}}, {"content", fmt::format(" {} ", WordTokenizer::kLineEnd)}};
  const Json pre_tokenizer = {
      {"type", "Split"}, {"pattern", {{"Regex", "[ \\t\\r\\x0b\\x0c]+"}}}, {"behavior", "Removed"}, {"invert", false}};
  Json model = {{"type", "WordLevel"}, {"unk_token", WordTokenizer::kUnknown}};
  model["vocab"] = std::move(vocab);
  result.tokenizer = tokenizer_file(std::move(added), normalizer, pre_tokenizer, nullptr, std::move(model));
  result.note = "A line's end is the token <eos>; decoded text has blanks between all words.";
  return result;
}

// Nothing is encoded as the unknown piece, because unknown characters become bytes. Its own name could match a text.
constexpr const char* kUnknownPiece = "<|unknown|>";

// In transformers the names of bytes, such as <0x41>, are pieces that a text could spell. Where no other piece contains
// their beginning, no piece can cross it, and words may end there.
Json apart_from_bytes(const SentencePieceModel& model) {
  for (const SentencePiece& piece : model.pieces) {
    if (piece.kind == SentencePiece::Kind::normal && piece.text.find("<0") != std::string::npos) return nullptr;
  }
  return {
      {"type", "Split"}, {"pattern", {{"Regex", "(?<=<)0(?=x)"}}}, {"behavior", "MergedWithNext"}, {"invert", false}};
}

// The library encodes line by line, and our tokenizer puts </s> at a line's end. Here that token is the line end
// itself: no other piece contains one, so the best pieces of a text are those of its lines.
HfTokenizer of_sentencepiece(const Json& description, int64_t positions) {
  const SentencePieceModel model = read_sentence_piece(from_base64(description.at("model").get<std::string>()));
  if (const std::string why = model.why_not_plain(); !why.empty()) return {.refusal = why};
  Json vocab = Json::array();
  int64_t end = -1;
  for (size_t id = 0; id < model.pieces.size(); ++id) {
    const SentencePiece& piece = model.pieces[id];
    const bool is_end = piece.text == "</s>";
    if (is_end) end = static_cast<int64_t>(id);
    // Pieces that stand for bytes and marks never match text, so they are the least probable by far.
    const double score = piece.kind == SentencePiece::Kind::normal || is_end ? piece.score : kNeverChosen;
    Json entry = Json::array();
    const bool is_unknown = piece.kind == SentencePiece::Kind::unknown;
    entry.push_back(is_end ? "\n" : is_unknown ? kUnknownPiece : piece.text);
    entry.push_back(score);
    vocab.push_back(std::move(entry));
  }
  HfTokenizer result;
  result.config = tokenizer_config(positions);
  set_pad(result, model.unknown, kUnknownPiece);
  Json added = Json::array();
  added.push_back(added_token(model.unknown, kUnknownPiece, true));
  const Json blanks = {{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", kSentencePieceBlank}};
  Json steps = Json::array();
  steps.push_back({{"type", "Replace"}, {"pattern", {{"String", kSentencePieceBlank}}}, {"content", " "}});
  steps.push_back({{"type", "ByteFallback"}});
  steps.push_back({{"type", "Fuse"}});
  const Json decoder = {{"type", "Sequence"}, {"decoders", std::move(steps)}};
  Json unigram = {{"type", "Unigram"}, {"unk_id", model.unknown}, {"byte_fallback", true}};
  unigram["vocab"] = std::move(vocab);
  result.tokenizer = tokenizer_file(std::move(added), blanks, apart_from_bytes(model), decoder, std::move(unigram));
  MOE_CHECK(end >= 0, "a SentencePiece model without </s>");
  result.note = "The end of a line is a token of its own, which was </s> in training.";
  return result;
}

// The file as it was read. The padding is the mark at the end of a document, or the first of the special tokens.
HfTokenizer of_huggingface(const Json& description, int64_t positions) {
  const Json& file = description.at("file");
  const std::unique_ptr<Tokenizer> tokenizer = load_tokenizer(description, "the tokenizer");
  HfTokenizer result;
  result.tokenizer = file;
  result.config = tokenizer_config(positions);
  result.end_id = tokenizer->end_of_document();
  const Json* added = file.find("added_tokens");
  for (const Json& token : added ? *added : Json::array()) {
    const auto id = token.at("id").get<int64_t>();
    if (!token.value("special", false) || (result.end_id && id != *result.end_id) || result.pad_id) continue;
    const auto content = token.at("content").get<std::string>();
    if (result.end_id) result.config["eos_token"] = content;
    set_pad(result, id, content);
  }
  if (!result.pad_id) return {.refusal = "its tokenizer.json has no special token, which padding could use"};
  return result;
}

// Its library merges pairs by the rank of their result, transformers by that of the pair.
HfTokenizer of_tiktoken(const Json&, int64_t) {
  return {.refusal = "a vocabulary of tiktoken has no list of merges, which transformers needs"};
}

HfTokenizer of_external(const Json&, int64_t) {
  return {.refusal = "the token ids were made by another program; copy its tokenizer's files into the folder"};
}

struct Kind {
  const char* name;
  HfTokenizer (*make)(const Json& description, int64_t positions);
};
const Table<Kind>& kinds() {
  static const Table<Kind> table{"tokenizer",
                                 {{"byte", of_byte},
                                  {"char", of_char},
                                  {"word", of_word},
                                  {"bpe", of_bpe},
                                  {"sentencepiece", of_sentencepiece},
                                  {"huggingface", of_huggingface},
                                  {"tiktoken", of_tiktoken},
                                  {"external", of_external}}};
  return table;
}

}  // namespace

HfTokenizer hf_tokenizer(const Json& description, int64_t positions) {
  const auto name = description.at("name").get<std::string>();
  if (const Kind* kind = kinds().find(name)) return kind->make(description, positions);
  return {.refusal = fmt::format("the tokenizer {} has no form in transformers", name)};
}

}  // namespace moe
