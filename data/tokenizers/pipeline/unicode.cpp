#include "data/tokenizers/pipeline/unicode.h"

#include "core/base/check.h"

#if MOE_HAS_ICU
#include <unicode/brkiter.h>
#include <unicode/locid.h>
#include <unicode/normalizer2.h>
#include <unicode/regex.h>
#include <unicode/uchar.h>
#include <unicode/uniset.h>
#include <unicode/unistr.h>
#endif

namespace moe {

char32_t next_character(std::string_view text, size_t& at) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(at);
  const auto tail = [&](size_t i) { return static_cast<char32_t>(byte(at + i) & 0x3F); };
  char32_t c = first;
  size_t length = 1;
  if (first >= 0xF0) {
    c = static_cast<char32_t>(first & 0x07) << 18 | tail(1) << 12 | tail(2) << 6 | tail(3), length = 4;
  } else if (first >= 0xE0) {
    c = static_cast<char32_t>(first & 0x0F) << 12 | tail(1) << 6 | tail(2), length = 3;
  } else if (first >= 0xC0) {
    c = static_cast<char32_t>(first & 0x1F) << 6 | tail(1), length = 2;
  }
  at += length;
  return c;
}

void append_character(char32_t c, std::string& text) {
  const auto tail = [&](int shift) { text += static_cast<char>(0x80 | (c >> shift & 0x3F)); };
  if (c < 0x80) {
    text += static_cast<char>(c);
  } else if (c < 0x800) {
    text += static_cast<char>(0xC0 | c >> 6), tail(0);
  } else if (c < 0x10000) {
    text += static_cast<char>(0xE0 | c >> 12), tail(6), tail(0);
  } else {
    text += static_cast<char>(0xF0 | c >> 18), tail(12), tail(6), tail(0);
  }
}

TextPattern TextPattern::literal(std::string text) {
  TextPattern pattern;
  pattern.literal_ = std::move(text);
  return pattern;
}

static void find_literal(std::string_view text, const std::string& literal, const TextPattern::Visitor& visit) {
  if (literal.empty()) return;
  for (size_t at = text.find(literal); at != text.npos; at = text.find(literal, at + literal.size()))
    visit(at, at + literal.size());
}

#if MOE_HAS_ICU

void require_icu() {}

namespace {

UChar32 icu_character(char32_t c) {
  return static_cast<UChar32>(c);
}

uint32_t category_of(char32_t c) {
  return U_GET_GC_MASK(icu_character(c));
}

// Whether a version of Unicode had the character. Sindhi's sandhi mark was punctuation before version 11.
bool is_in_unicode(int version, char32_t c) {
  UVersionInfo age;
  u_charAge(icu_character(c), age);
  return age[0] <= version;
}
constexpr char32_t kSandhiMark = 0x111C9;
constexpr char32_t kChiSign = 0x166D;  // punctuation until version 12

const icu::Normalizer2& newest_normalizer(NormalForm form) {
  UErrorCode error = U_ZERO_ERROR;
  const icu::Normalizer2* found = form == NormalForm::nfc    ? icu::Normalizer2::getNFCInstance(error)
                                  : form == NormalForm::nfd  ? icu::Normalizer2::getNFDInstance(error)
                                  : form == NormalForm::nfkc ? icu::Normalizer2::getNFKCInstance(error)
                                                             : icu::Normalizer2::getNFKDInstance(error);
  MOE_CHECK(U_SUCCESS(error), "ICU has no data for normal forms: {}", u_errorName(error));
  return *found;
}

const icu::Normalizer2& normalizer_of(NormalForm form) {
  static const icu::UnicodeSet known = [] {
    UErrorCode error = U_ZERO_ERROR;
    icu::UnicodeSet set(u"[:age=9.0:]", error);
    MOE_CHECK(U_SUCCESS(error), "ICU has no ages of characters: {}", u_errorName(error));
    set.freeze();
    return set;
  }();
  static const icu::FilteredNormalizer2 nfc(newest_normalizer(NormalForm::nfc), known),
      nfd(newest_normalizer(NormalForm::nfd), known), nfkc(newest_normalizer(NormalForm::nfkc), known),
      nfkd(newest_normalizer(NormalForm::nfkd), known);
  switch (form) {
    case NormalForm::nfc:
      return nfc;
    case NormalForm::nfd:
      return nfd;
    case NormalForm::nfkc:
      return nfkc;
    default:
      return nfkd;
  }
}

icu::UnicodeString utf16(std::string_view text) {
  return icu::UnicodeString::fromUTF8({text.data(), static_cast<int32_t>(text.size())});
}

std::string normalised_part(const icu::Normalizer2& normalizer, std::string_view part) {
  UErrorCode error = U_ZERO_ERROR;
  std::string result;
  normalizer.normalize(utf16(part), error).toUTF8String(result);
  MOE_CHECK(U_SUCCESS(error), "ICU cannot normalise a text: {}", u_errorName(error));
  return result;
}

bool is_ascii(char c) {
  return static_cast<unsigned char>(c) < 0x80;
}

}  // namespace

bool is_white_space(char32_t c) {
  return u_isUWhiteSpace(icu_character(c));
}

bool is_word_character(char32_t c) {
  constexpr uint32_t kOthers = U_GC_M_MASK | U_GC_ND_MASK | U_GC_PC_MASK;
  return u_isUAlphabetic(icu_character(c)) || (category_of(c) & kOthers) != 0 || c == 0x200C || c == 0x200D;
}

void append_lower_case(char32_t c, std::string& text) {
  constexpr char32_t kDottedI = 0x130;  // the only one whose lower case is two characters
  append_character(c == kDottedI ? U'i' : static_cast<char32_t>(u_tolower(icu_character(c))), text);
  if (c == kDottedI) append_character(0x307, text);
}

bool is_numeric(char32_t c) {
  return (category_of(c) & U_GC_N_MASK) != 0;
}

bool is_bert_control(char32_t c) {
  constexpr uint32_t kControl = U_GC_CC_MASK | U_GC_CF_MASK | U_GC_CO_MASK | U_GC_CS_MASK;
  return (category_of(c) & kControl) != 0 && is_in_unicode(8, c);
}

bool is_bert_accent(char32_t c) {
  // Hanunoo's pamudpod, Mongolian's baludas, Javanese's keret and Sindhi's mark have changed their category since.
  if (c == 0x1734) return true;
  if (c == 0x1885 || c == 0x1886 || c == 0xA9BD || c == kSandhiMark) return false;
  return (category_of(c) & U_GC_MN_MASK) != 0 && is_in_unicode(8, c);
}

bool is_punctuation(char32_t c) {
  constexpr uint32_t kAsciiSigns = U_GC_P_MASK | U_GC_S_MASK;  // of ASCII all that is visible and no letter or digit
  if (c < 0x80) return (category_of(c) & kAsciiSigns) != 0;
  return ((category_of(c) & U_GC_P_MASK) != 0 && is_in_unicode(8, c)) || c == kSandhiMark || c == kChiSign;
}

bool is_mark(char32_t c) {
  if (c == 0x1CF2 || c == 0x1CF3) return true;  // letters since version 12
  return (category_of(c) & U_GC_M_MASK) != 0 && is_in_unicode(9, c) && c != kSandhiMark;
}

// Normalised from boundary to boundary, because characters influence each other only between those.
AlignedText normalised(AlignedText text, NormalForm form) {
  UErrorCode error = U_ZERO_ERROR;
  const std::string_view old = text.text();
  if (newest_normalizer(form).isNormalizedUTF8({old.data(), static_cast<int32_t>(old.size())}, error) &&
      U_SUCCESS(error))
    return text;
  const icu::Normalizer2& normalizer = normalizer_of(form);
  AlignedText result = AlignedText::in_place_of(text);
  for (size_t begin = 0; begin < old.size();) {
    size_t end = begin;
    next_character(old, end);
    const bool alone = is_ascii(old[begin]) && (end == old.size() || is_ascii(old[end]));
    while (!alone && end < old.size()) {
      size_t after = end;
      if (normalizer.hasBoundaryBefore(icu_character(next_character(old, after)))) break;
      end = after;
    }
    if (alone)
      result.append(text, begin, end);
    else
      result.append(normalised_part(normalizer, old.substr(begin, end - begin)), text.end_of(end));
    begin = end;
  }
  return result;
}

// How many bytes of UTF-8 a half or whole character of UTF-16 stands for: each half of a pair for 2 of 4.
static size_t utf8_bytes(char16_t c) {
  return c < 0x80 ? 1 : c < 0x800 || (c & 0xF800) == 0xD800 ? 2 : 3;
}

void for_each_grapheme(std::string_view text, const std::function<void(size_t begin, size_t end)>& visit) {
  UErrorCode error = U_ZERO_ERROR;
  const std::unique_ptr<icu::BreakIterator> clusters(
      icu::BreakIterator::createCharacterInstance(icu::Locale::getRoot(), error));
  MOE_CHECK(U_SUCCESS(error), "ICU has no rules for grapheme clusters: {}", u_errorName(error));
  const icu::UnicodeString wide = utf16(text);
  clusters->setText(wide);
  size_t begin = 0;
  int32_t unit = clusters->first();
  for (int32_t next = clusters->next(); next != icu::BreakIterator::DONE; next = clusters->next()) {
    size_t end = begin;
    for (; unit < next; ++unit) end += utf8_bytes(wide[unit]);
    visit(begin, end);
    begin = end;
  }
}

struct TextPattern::Compiled {
  std::unique_ptr<icu::RegexPattern> pattern;
};

TextPattern TextPattern::regex(const std::string& expression, bool by_line) {
  UErrorCode error = U_ZERO_ERROR;
  UParseError place;
  auto compiled = std::make_shared<Compiled>();
  compiled->pattern.reset(icu::RegexPattern::compile(
      utf16(expression), UREGEX_UNIX_LINES | (by_line ? UREGEX_MULTILINE : 0), place, error));
  if (U_FAILURE(error))
    raise<DataError>("the regular expression {} is not supported: {} at its character {}", expression,
                     u_errorName(error), place.offset);
  TextPattern pattern;
  pattern.compiled_ = std::move(compiled);
  return pattern;
}

void TextPattern::for_each_match(std::string_view text, const Visitor& visit) const {
  if (!compiled_) return find_literal(text, literal_, visit);
  UErrorCode error = U_ZERO_ERROR;
  const icu::UnicodeString wide = utf16(text);
  const std::unique_ptr<icu::RegexMatcher> matcher(compiled_->pattern->matcher(wide, error));
  const char16_t* const units = wide.getBuffer();
  int32_t unit = 0;
  size_t byte = 0;
  const auto byte_of = [&](int32_t target) {  // only forwards
    for (; unit < target; ++unit) byte += utf8_bytes(units[unit]);
    return byte;
  };
  while (U_SUCCESS(error) && matcher->find(error) && U_SUCCESS(error)) {
    const int32_t end = matcher->end(error);
    const size_t begin = byte_of(matcher->start(error));
    visit(begin, byte_of(end));
  }
  if (U_FAILURE(error)) raise<DataError>("a regular expression cannot be searched for: {}", u_errorName(error));
}

#else

void require_icu() {
  throw DataError("this program was built without ICU, which tokenizers of tokenizer.json and tiktoken files need");
}
bool is_white_space(char32_t) {
  return false;
}
bool is_word_character(char32_t) {
  return false;
}
bool is_numeric(char32_t) {
  return false;
}
bool is_bert_control(char32_t) {
  return false;
}
bool is_bert_accent(char32_t) {
  return false;
}
bool is_punctuation(char32_t) {
  return false;
}
bool is_mark(char32_t) {
  return false;
}
void append_lower_case(char32_t, std::string&) {}
AlignedText normalised(AlignedText text, NormalForm) {
  return text;
}
void for_each_grapheme(std::string_view, const std::function<void(size_t, size_t)>&) {}
struct TextPattern::Compiled {};
TextPattern TextPattern::regex(const std::string&, bool) {
  require_icu();
  return {};
}
void TextPattern::for_each_match(std::string_view text, const Visitor& visit) const {
  find_literal(text, literal_, visit);
}

#endif

}  // namespace moe
