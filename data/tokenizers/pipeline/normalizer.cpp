#include "data/tokenizers/pipeline/normalizer.h"

#include <algorithm>
#include <iterator>

#include "core/base/base64.h"
#include "core/base/check.h"
#include "core/base/table.h"
#include "data/tokenizers/pipeline/character_map.h"
#include "data/tokenizers/pipeline/options.h"
#include "data/tokenizers/pipeline/unicode.h"

namespace moe {

namespace {

using Step = TextNormalizer::Step;
using Steps = std::vector<Step>;

// A step that replaces each character by what `append` writes for it.
template <class Append>  // append(character, its bytes, text)
Step by_character(Append append) {
  return [append](AlignedText text, bool) {
    AlignedText result = AlignedText::in_place_of(text);
    std::string part;
    const std::string_view old = text.text();
    for (size_t at = 0; at < old.size();) {
      const size_t begin = at;
      const char32_t c = next_character(old, at);
      part.clear();
      append(c, old.substr(begin, at - begin), part);
      result.append(part, text.end_of(at));
    }
    return result;
  };
}

template <NormalForm form>
Steps normal_form(const Json&) {
  return {[](AlignedText text, bool) { return normalised(std::move(text), form); }};
}

Steps lower_case(const Json&) {
  return {by_character([](char32_t c, std::string_view, std::string& text) { append_lower_case(c, text); })};
}

Step without(bool (*is_removed)(char32_t)) {
  return by_character([is_removed](char32_t c, std::string_view bytes, std::string& text) {
    if (!is_removed(c)) text += bytes;
  });
}

Steps strip_accents(const Json&) {
  return {without(is_mark)};
}

Steps prepend(const Json& json) {
  const auto what = json.at("prepend").get<std::string>();
  return {[what](AlignedText text, bool continues) {
    if (text.text().empty() || continues) return text;
    AlignedText result = AlignedText::in_place_of(text);
    result.append(what, text.origin());
    result.append(text, 0, text.text().size());
    return result;
  }};
}

Steps replace(const Json& json) {
  const TextPattern pattern = pattern_of(json.at("pattern"));
  const auto content = json.at("content").get<std::string>();
  return {[pattern, content](AlignedText text, bool) {
    AlignedText result = AlignedText::in_place_of(text);
    size_t done = 0;
    pattern.for_each_match(text.text(), [&](size_t begin, size_t end) {
      result.append(text, done, begin);
      result.append(content, text.end_of(end));
      done = end;
    });
    if (done == 0) return text;
    result.append(text, done, text.text().size());
    return result;
  }};
}

Steps sequence(const Json& json);

// Removes blanks at the ends of a text.
Steps strip(const Json& json) {
  const bool left = json.value("strip_left", false), right = json.value("strip_right", false);
  return {[left, right](AlignedText text, bool continues) {
    const std::string_view old = text.text();
    size_t begin = old.size(), end = 0;
    for (size_t at = 0; at < old.size();) {
      const size_t here = at;
      if (is_white_space(next_character(old, at))) continue;
      begin = std::min(begin, here);
      end = at;
    }
    if (begin >= end) begin = end = old.size();
    if (!left || continues) begin = 0;
    if (!right) end = old.size();
    AlignedText result = AlignedText::in_place_of(text);
    result.append(text, begin, end);
    return result;
  }};
}

bool is_chinese(char32_t c) {
  constexpr char32_t kBlocks[][2] = {{0x4E00, 0x9FFF},   {0x3400, 0x4DBF},   {0x20000, 0x2A6DF}, {0x2A700, 0x2B73F},
                                     {0x2B740, 0x2B81F}, {0x2B920, 0x2CEAF}, {0xF900, 0xFAFF},   {0x2F800, 0x2FA1F}};
  return std::any_of(std::begin(kBlocks), std::end(kBlocks), [c](const auto& b) { return b[0] <= c && c <= b[1]; });
}

bool is_line_blank(char32_t c) {
  return c == '\t' || c == '\n' || c == '\r';
}

// BERT's: control characters are removed, blanks become one kind, Chinese characters stand alone, accents are removed.
Steps bert(const Json& json) {
  Steps steps;
  if (json.value("clean_text", true)) {
    steps.push_back(by_character([](char32_t c, std::string_view bytes, std::string& text) {
      const bool removed = c == 0 || c == 0xFFFD || (is_bert_control(c) && !is_line_blank(c));
      if (!removed) text += is_white_space(c) ? " " : bytes;
    }));
  }
  if (json.value("handle_chinese_chars", true)) {
    steps.push_back(by_character([](char32_t c, std::string_view bytes, std::string& text) {
      const bool alone = is_chinese(c);
      if (alone) text += ' ';
      text += bytes;
      if (alone) text += ' ';
    }));
  }
  const bool lower = json.value("lowercase", true);
  if (is_absent(json, "strip_accents") ? lower : json.at("strip_accents").get<bool>()) {
    steps.push_back(normal_form<NormalForm::nfd>(json).front());
    steps.push_back(without(is_bert_accent));
  }
  if (lower) steps.push_back(lower_case(json).front());
  return steps;
}

Steps precompiled(const Json& json) {
  const CharacterMap map(from_base64(json.at("precompiled_charsmap").get<std::string>()));
  return {[map](const AlignedText& text, bool) { return map.apply(text); }};
}

struct Kind {
  std::string_view name;
  Steps (*make)(const Json& json);
};

const Table<Kind>& kinds() {
  static const Table<Kind> table{"normaliser",
                                 {{"NFC", normal_form<NormalForm::nfc>},
                                  {"NFD", normal_form<NormalForm::nfd>},
                                  {"NFKC", normal_form<NormalForm::nfkc>},
                                  {"NFKD", normal_form<NormalForm::nfkd>},
                                  {"Lowercase", lower_case},
                                  {"StripAccents", strip_accents},
                                  {"Strip", strip},
                                  {"Prepend", prepend},
                                  {"Replace", replace},
                                  {"BertNormalizer", bert},
                                  {"Precompiled", precompiled},
                                  {"Sequence", sequence}}};
  return table;
}

Steps steps_of(const Json& json) {
  if (json.is_null()) return {};
  return kind_in(kinds(), json).make(json);
}

Steps sequence(const Json& json) {
  Steps steps;
  for (const Json& part : json.at("normalizers")) {
    for (Step& step : steps_of(part)) steps.push_back(std::move(step));
  }
  return steps;
}

}  // namespace

TextNormalizer::TextNormalizer(const Json& json) : steps_(steps_of(json)) {}

AlignedText TextNormalizer::apply(AlignedText text, bool continues) const {
  for (const Step& step : steps_) text = step(std::move(text), continues);
  return text;
}

std::string TextNormalizer::apply(std::string_view text) const {
  return std::string(apply(AlignedText(text, 0), false).text());
}

}  // namespace moe
