#include "data/tokenizers/tiktoken.h"

#include <array>
#include <charconv>
#include <filesystem>
#include <optional>
#include <system_error>
#include <utility>

#include "core/base/base64.h"
#include "core/base/check.h"
#include "core/base/integer.h"
#include "core/base/table.h"
#include "core/base/text.h"
#include "data/lines.h"
#include "data/posix_file.h"
#include "data/tokenizers/byte_pair_files.h"

namespace moe {

namespace {

struct WordRule {
  std::string_view name;
  const char* expression;
};

// As tiktoken has them (tiktoken_ext/openai_public.py).
const Table<WordRule>& word_rules() {
  static const Table<WordRule> table{
      "rule for words",
      {{"gpt2", R"('(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s)"},
       {"cl100k",
        R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|)"
        R"(\s+(?!\S)|\s)"},
       {"o200k",
        R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|)"
        R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|)"
        R"(\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)"}}};
  return table;
}

// The steps as in a tokenizer.json.
Json pipeline_of(const std::vector<std::string>& tokens, const std::string& pattern) {
  const WordRule* rule = word_rules().find(pattern);
  const Json expression = {{"Rust", rule ? rule->expression : pattern}};
  Json steps = Json::array();
  steps.push_back({{"type", "Split"}, {"pattern", expression}, {"behavior", "Isolated"}});
  steps.push_back({{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}});
  Json vocab = Json::object();
  for (size_t id = 0; id < tokens.size(); ++id) vocab[tokens[id]] = id;
  if (vocab.size() != tokens.size()) throw DataError("a token occurs twice in the vocabulary");
  Json file = Json::object();
  file["pre_tokenizer"] = {{"type", "Sequence"}, {"pretokenizers", std::move(steps)}};
  file["model"] = {{"type", "RankedPieces"}, {"vocab", std::move(vocab)}};
  return file;
}

struct RankedToken {
  std::string bytes;
  size_t rank;
};

// Nothing for a line of another form.
std::optional<RankedToken> read_line(std::string_view line) {
  const size_t blank = line.find(' ');
  if (blank == 0 || blank == line.npos) return std::nullopt;
  RankedToken token;
  const char* const end = line.data() + line.size();
  const auto [stop, error] = std::from_chars(line.data() + blank + 1, end, token.rank);
  if (error != std::errc() || stop != end) return std::nullopt;
  try {
    token.bytes = from_base64(std::string(line.substr(0, blank)));
  } catch (const Error&) {
    return std::nullopt;
  }
  if (token.bytes.empty()) return std::nullopt;
  return token;
}

std::vector<std::string> read_tokens(const std::string& path) {
  std::vector<RankedToken> all;
  for_each_line(path, [&](std::string_view line, int64_t number) {
    if (line.empty()) return;
    std::optional<RankedToken> token = read_line(line);
    if (!token) refuse_line(path, number, "'{}' is not a token in base64 and its rank", shown(line));
    all.push_back(std::move(*token));
  });
  std::vector<std::string> tokens(all.size());
  for (const RankedToken& token : all) {
    if (token.rank >= tokens.size() || !tokens[token.rank].empty())
      raise<DataError>("the rank {} occurs twice or is too large; expected each number below {} once", token.rank,
                       tokens.size());
    for (const char c : token.bytes) tokens[token.rank] += spelling_of_byte(static_cast<unsigned char>(c));
  }
  return tokens;
}

}  // namespace

TiktokenTokenizer::TiktokenTokenizer(std::vector<std::string> tokens, std::string pattern)
    : PipelineTokenizer(pipeline_of(tokens, pattern)), tokens_(std::move(tokens)), pattern_(std::move(pattern)) {
  if (!bytes_by_id()) throw DataError("a byte has no token in the vocabulary");
}

std::unique_ptr<Tokenizer> TiktokenTokenizer::from_json(const Json& description) {
  return std::make_unique<TiktokenTokenizer>(description.at("tokens").get<std::vector<std::string>>(),
                                             description.at("pattern").get<std::string>());
}

std::unique_ptr<Tokenizer> TiktokenTokenizer::make(const TrainingText&, const TokenizerOptions& options) {
  refuse_foreign(options, "tiktoken", "vocabulary pattern");
  if (options.vocabulary.empty() || options.pattern.empty()) {
    raise<UsageError>("the tokenizer 'tiktoken' needs a file of tokens and a pattern: {}, or a regular expression",
                      join(word_rules().names(), ", "));
  }
  return naming(options.vocabulary,
                [&] { return std::make_unique<TiktokenTokenizer>(read_tokens(options.vocabulary), options.pattern); });
}

bool TiktokenTokenizer::is_vocabulary(const std::string& path) {
  if (!std::filesystem::is_regular_file(path)) return false;
  std::array<char, 512> begin;
  const int64_t bytes = PosixFile::open(path).read(begin.data(), std::ssize(begin));
  std::string_view line(begin.data(), static_cast<size_t>(bytes));
  const size_t end = line.find('\n');
  if (end == line.npos) return false;
  line = line.substr(0, end);
  if (line.ends_with('\r')) line.remove_suffix(1);
  return read_line(line).has_value();
}

Json TiktokenTokenizer::to_json() const {
  return {{"name", name()}, {"pattern", pattern_}, {"tokens", tokens_}};
}

}  // namespace moe
