#include "data/tokenizers/pipeline/added_tokens.h"

#include <algorithm>

#include "core/base/check.h"
#include "data/tokenizers/pipeline/options.h"
#include "data/tokenizers/pipeline/unicode.h"

namespace moe {

std::vector<AddedToken> read_added_tokens(const Json& json) {
  constexpr int32_t kMostIds = 1 << 22;
  std::vector<AddedToken> tokens;
  for (const Json& entry : json) {
    AddedToken token;
    token.id = entry.at("id").get<int32_t>();
    token.content = entry.at("content").get<std::string>();
    token.special = entry.value("special", false);
    token.normalized = entry.value("normalized", !token.special);
    token.single_word = entry.value("single_word", false);
    token.lstrip = entry.value("lstrip", false);
    token.rstrip = entry.value("rstrip", false);
    if (token.id < 0 || token.id >= kMostIds || token.content.empty())
      raise<DataError>("the added token '{}' with the id {} is not supported", token.content, token.id);
    tokens.push_back(std::move(token));
  }
  return tokens;
}

AddedTokenFinder::AddedTokenFinder(const std::vector<AddedToken>& all, bool normalized,
                                   const TextNormalizer& normalizer) {
  for (const AddedToken& token : all) {
    if (token.normalized != normalized) continue;
    Pattern pattern{normalized ? normalizer.apply(token.content) : token.content, token};
    if (pattern.text.empty()) continue;
    empty_ = empty_ && token.special;
    by_first_byte_[static_cast<unsigned char>(pattern.text[0])].push_back(std::move(pattern));
  }
  for (std::vector<Pattern>& patterns : by_first_byte_) {
    std::stable_sort(patterns.begin(), patterns.end(),
                     [](const Pattern& a, const Pattern& b) { return a.text.size() > b.text.size(); });
  }
}

const AddedTokenFinder::Pattern* AddedTokenFinder::longest_at(std::string_view text) const {
  for (const Pattern& pattern : by_first_byte_[static_cast<unsigned char>(text[0])]) {
    if (text.starts_with(pattern.text)) return &pattern;
  }
  return nullptr;
}

static bool ends_with_word(std::string_view text) {
  size_t at = text.size();
  if (at == 0) return false;
  do --at;
  while (at > 0 && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80);
  return is_word_character(next_character(text, at));
}

static bool begins_with_word(std::string_view text) {
  size_t at = 0;
  return !text.empty() && is_word_character(next_character(text, at));
}

// Where the blanks that end text[0, end) begin.
static size_t blanks_before(std::string_view text, size_t end) {
  while (end > 0) {
    size_t at = end;
    do --at;
    while (at > 0 && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80);
    size_t after = at;
    if (!is_white_space(next_character(text, after))) break;
    end = at;
  }
  return end;
}

static size_t blanks_after(std::string_view text, size_t at) {
  for (size_t next = at; at < text.size(); at = next) {
    if (!is_white_space(next_character(text, next))) break;
  }
  return at;
}

void AddedTokenFinder::cut(std::string_view text, const Visitor& visit) const {
  size_t done = 0;
  for (size_t at = 0; !empty_ && at < text.size();) {
    const Pattern* pattern = longest_at(text.substr(at));
    if (!pattern) {
      ++at;
      continue;
    }
    const AddedToken& token = pattern->token;
    size_t begin = at, end = at + pattern->text.size();
    at = end;
    if (token.special) continue;
    if (token.single_word && (ends_with_word(text.substr(0, begin)) || begins_with_word(text.substr(end)))) continue;
    if (token.lstrip) begin = std::max(blanks_before(text, begin), done);
    if (token.rstrip) end = blanks_after(text, end);
    if (begin > done) visit(done, begin, nullptr);
    visit(begin, end, &token);
    done = end;
  }
  if (done < text.size()) visit(done, text.size(), nullptr);
}

}  // namespace moe
