// Which of our tokenizers a tokenizer.json stands for.
#include <algorithm>

#include "core/base/check.h"
#include "core/base/integer.h"
#include "core/base/json_text.h"
#include "core/checkpoint/files.h"
#include "core/convert/hf_tokenizer.h"
#include "data/tokenizer.h"
#include "data/tokenizers/byte_pair.h"
#include "data/tokenizers/byte_pair_files.h"
#include "data/tokenizers/pipeline/pipeline_tokenizer.h"
#include "data/tokenizers/word.h"

namespace moe {

namespace {

// Thrown as the reason why a tokenizer is none of our own kinds.
struct NotOurs {
  std::string why;
};

bool is_null(const Json& json, const char* key) {
  const Json* found = json.find(key);
  return !found || found->is_null();
}

// Tokens in the order of their ids; every id below their number must be there.
std::vector<std::string> tokens_by_id(const Json& vocab) {
  std::vector<std::string> tokens(vocab.size());
  std::vector<bool> seen(vocab.size());
  for (const auto& [token, id] : vocab.items()) {
    const auto index = id.get<size_t>();
    if (index >= tokens.size() || seen[index]) throw NotOurs{"its ids are not consecutive"};
    tokens[index] = token;
    seen[index] = true;
  }
  return tokens;
}

// Tokens that are added to the vocabulary's, or are special: only those of `known` may be there.
void require_added(const Json& file, const std::vector<std::string>& known) {
  if (is_null(file, "added_tokens")) return;
  for (const Json& token : file.at("added_tokens")) {
    const auto text = token.at("content").get<std::string>();
    if (std::find(known.begin(), known.end(), text) == known.end()) throw NotOurs{"it has the special token " + text};
  }
}

Json merges_of(const Json& model) {
  Json merges = Json::array();
  for (const Json& merge : model.at("merges")) {  // "a b", or a list of both since tokenizers 0.20
    if (merge.is_string())
      merges.push_back(merge);
    else
      merges.push_back(merge.at(0).get<std::string>() + " " + merge.at(1).get<std::string>());
  }
  return merges;
}

Json bytes_by_id(const std::vector<std::string>& tokens) {
  std::vector<int64_t> alphabet;
  for (const std::string& token : tokens) {
    const auto bytes = token == "<|pad|>" ? std::optional<std::string>("\xFF") : bytes_of_spelling(token);
    if (!bytes || bytes->size() != 1) throw NotOurs{"it has the token " + token};
    alphabet.push_back(static_cast<unsigned char>(bytes->front()));
  }
  bool in_order = alphabet.size() == 256;
  for (size_t id = 0; id < alphabet.size(); ++id) in_order = in_order && alphabet[id] == static_cast<int64_t>(id);
  return in_order ? Json{{"name", "byte"}} : Json{{"name", "char"}, {"alphabet", alphabet}};
}

Json byte_pairs(const Json& file) {
  const Json &model = file.at("model"), &split = file.at("pre_tokenizer");
  if (!split.is_object() || split.value("type", "") != "ByteLevel" || split.value("add_prefix_space", true))
    throw NotOurs{"it does not divide texts into words as GPT-2 does"};
  if (!is_null(file, "normalizer")) throw NotOurs{"it normalises texts"};
  if (!is_null(model, "unk_token") || model.value("ignore_merges", false))
    throw NotOurs{"its byte pairs are not merged as GPT-2's"};
  const std::vector<std::string> tokens = tokens_by_id(model.at("vocab"));
  if (!split.value("use_regex", true)) {
    if (model.at("merges").size() > 0) throw NotOurs{"it does not divide texts into words as GPT-2 does"};
    Json description = bytes_by_id(tokens);
    require_added(file, tokens);
    return description;
  }
  require_added(file, {BytePairTokenizer::kEndOfDocument, spelling_of_byte(0xFF)});
  return {{"name", "bpe"}, {"tokens", tokens}, {"merges", merges_of(model)}};
}

Json words(const Json& file) {
  const std::vector<std::string> tokens = tokens_by_id(file.at("model").at("vocab"));
  const Json& normalizer = file.at("normalizer");
  if (tokens.size() < 2 || tokens[0] != WordTokenizer::kUnknown || tokens[1] != WordTokenizer::kLineEnd ||
      !normalizer.is_object() || normalizer.value("type", "") != "Replace")
    throw NotOurs{"its words are divided in another way"};
  require_added(file, {WordTokenizer::kUnknown});
  return {{"name", "word"}, {"words", tokens}};
}

// One more than the largest id; 0 for a vocabulary of another form.
int64_t number_of_ids(const Json& file) {
  int64_t largest = -1;
  const Json& vocab = file.at("model").at("vocab");
  if (vocab.is_array()) largest = static_cast<int64_t>(vocab.size()) - 1;
  if (vocab.is_object()) {
    for (const auto& [token, id] : vocab.items()) largest = std::max(largest, id.get<int64_t>());
  }
  if (is_null(file, "added_tokens")) return largest + 1;
  for (const Json& token : file.at("added_tokens")) largest = std::max(largest, token.at("id").get<int64_t>());
  return largest + 1;
}

Json description_of(const Json& file) {
  const auto type = file.at("model").at("type").get<std::string>();
  if (type == "BPE") return byte_pairs(file);
  if (type == "WordLevel") return words(file);
  throw NotOurs{"it is of the kind " + type};
}

// One of our own kinds where it is one, for which other programs have a form as well; otherwise as the file says.
std::unique_ptr<Tokenizer> tokenizer_of(const Json& file, const std::string& path) {
  try {
    return load_tokenizer(description_of(file), path);
  } catch (const NotOurs&) {
    return std::make_unique<PipelineTokenizer>(file);
  }
}

}  // namespace

ImportedTokenizer imported_tokenizer(const std::string& folder, int64_t rows) {
  ImportedTokenizer result;
  const auto external = [&](const std::string& why, int64_t tokens) {
    result.tokens = tokens > 0 && tokens < rows ? tokens : rows;
    result.description = {{"name", "external"}, {"vocab_size", result.tokens}};
    result.why_external = why;
    return result;
  };
  const std::string path = folder + "/tokenizer.json";
  if (!file_exists(path)) return external("the folder has no tokenizer.json", rows);
  int64_t tokens = 0;
  try {
    const Json file = parse_json(read_text(path));
    tokens = number_of_ids(file);
    const std::unique_ptr<Tokenizer> tokenizer = tokenizer_of(file, path);
    result.tokens = tokenizer->vocab_size();
    result.description = tokenizer->to_json();
    if (result.tokens <= rows) return result;
    return external(fmt::format("it has {} ids, the model {}", result.tokens, rows), rows);
  } catch (const JsonError& error) {
    return external(error.what(), tokens);
  } catch (const DataError& error) {
    return external(error.what(), tokens);
  }
}

}  // namespace moe
