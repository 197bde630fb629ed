#include "data/entries/gcide.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "core/base/check.h"
#include "core/base/text.h"

namespace moe {
namespace {

struct Spelling {
  std::string_view code;
  std::string_view text;
};
constexpr std::array kSpellings = std::to_array<Spelling>({
    {"ae", "ae"},      {"AE", "AE"},        {"oe", "oe"},      {"OE", "OE"},       {"aum", "a"},     {"imac", "i"},
    {"asl", "a"},      {"add", "a"},        {"udd", "u"},      {"eth", "th"},      {"thorn", "th"},  {"th", "th"},
    {"yogh", "gh"},    {"ng", "ng"},        {"dsdot", "s"},    {"tsdo", "t"},      {"zdot", "z"},    {"lsdot", "l"},
    {"nsdot", "n"},    {"deg", " degrees"}, {"root", "root "}, {"sect", "sect. "}, {"oo", "oo"},     {"pounds", "L"},
    {"frac12", "1/2"}, {"frac14", "1/4"},   {"frac34", "3/4"}, {"times", " x "},   {"bprime", "b'"}, {"nbsp", " "},
});

bool is_letter(char c) {
  return std::isalpha(static_cast<unsigned char>(c)) != 0;
}
bool is_digit(char c) {
  return std::isdigit(static_cast<unsigned char>(c)) != 0;
}
bool is_upper(char c) {
  return std::isupper(static_cast<unsigned char>(c)) != 0;
}

bool is_source_tag(std::string_view content) {
  for (const std::string_view source : {"1913 Webster", "Webster 1913", "WordNet 1.", "PJC", "Century Dict", "RDH"}) {
    if (content.find(source) != std::string_view::npos) return true;
  }
  for (const std::string_view source : {"AS", "RP", "RHUD", "MI11", "MW10", "WE1", "GG", "wn1"}) {
    if (content == source) return true;
  }
  return false;
}

// Returns the text that replaces a bracket: "" for a source tag, a plain spelling for a special letter, the bracket
// itself for anything else.
std::string resolve_bracket(std::string_view content) {
  if (is_source_tag(content)) return "";
  for (const Spelling& spelling : kSpellings) {
    if (content == spelling.code) return std::string(spelling.text);
  }
  std::string letters;
  bool marked = false;
  for (const char c : content) {
    if (is_letter(c)) {
      letters += c;
    } else if (std::string_view("^~=-.'`\",*").find(c) != std::string_view::npos) {
      marked = true;
    } else {
      letters.clear();
      break;
    }
  }
  // One accented letter, or a ligature such as [=ae]. "[R.]" and "[Obs.]" are labels: the only mark they have is the
  // final full stop.
  const bool label = !content.empty() && content.back() == '.' && content.size() > 1 && is_letter(content.front());
  if (marked && !label && (letters.size() == 1 || letters.size() == 2)) return letters;
  return fmt::format("[{}]", content);
}

std::string one_line(std::string_view text) {
  std::string result;
  for (const char c : text) {
    const bool blank = c == ' ' || c == '\n';
    if (!blank) result += c;
    if (blank && !result.empty() && result.back() != ' ') result += ' ';
  }
  return result;
}

// Removes source tags and spells special letters. Tags may be wrapped over lines, so it processes the whole entry.
std::string resolve_brackets(std::string_view text) {
  std::string result;
  for (size_t i = 0; i < text.size(); ++i) {
    const size_t close = text[i] == '[' ? text.find_first_of("[]", i + 1) : std::string_view::npos;
    if (close == std::string_view::npos || text[close] == '[') {
      result += text[i];
      continue;
    }
    const std::string resolved = resolve_bracket(one_line(text.substr(i + 1, close - i - 1)));
    // The dictionary's own page breaks put the next headword after the last tag of an entry.
    if (resolved.empty() && text.size() - close <= 40) {
      const std::string_view rest = trim(text.substr(close + 1));
      if (!rest.empty() && rest.find_first_of(".,()-{[\n") == std::string_view::npos) return result;
    }
    result += resolved;
    i = close;
  }
  return result;
}

// Drops "\Ap"ple\" after each headword, and the pronunciation in parentheses after that. "(Bot.)" names a field and is
// not a pronunciation.
std::string drop_syllables(std::string_view text) {
  std::string result;
  for (size_t i = 0; i < text.size(); ++i) {
    const size_t close = text[i] == '\\' ? text.find('\\', i + 1) : std::string_view::npos;
    if (close == std::string_view::npos || text.substr(i, close - i).find("\n\n") != std::string_view::npos) {
      if (text[i] != '\\') result += text[i];
      continue;
    }
    if (result.empty()) {  // an entry without a plain headword
      std::string headword(text.substr(i + 1, close - i - 1));
      std::erase_if(headword, [](char c) { return c == '*' || c == '"' || c == '`'; });
      result += headword;
    }
    while (!result.empty() && result.back() == ' ') result.pop_back();
    i = close;
    const size_t next = text.find_first_not_of(" \n", close + 1);
    if (next != std::string_view::npos && next + 1 < text.size() && text[next] == '(' && !is_upper(text[next + 1])) {
      const size_t end = text.find(')', next);
      if (end != std::string_view::npos && end - next < 100) i = end;
    }
    if (i + 1 < text.size() && is_letter(text[i + 1])) result += ' ';
  }
  return result;
}

// {Gre*ga"ri*ous*ly} -> Gregariously
std::string drop_braces(std::string_view text) {
  std::string result;
  bool inside = false;
  for (const char c : text) {
    if (c == '{' || c == '}') {
      inside = c == '{';
    } else if (!inside || (c != '*' && c != '"' && c != '`')) {
      result += c;
    }
  }
  return result;
}

// "1. ", "12. ", "(a) "
bool begins_sense(std::string_view line) {
  size_t i = 0;
  while (i < line.size() && is_digit(line[i])) ++i;
  if (i > 0 && i <= 2) return line.substr(i, 2) == ". ";
  return line.size() > 3 && line[0] == '(' && is_letter(line[1]) && line.substr(2, 2) == ") ";
}

void append_line(std::string& paragraph, std::string_view line) {
  const size_t size = paragraph.size();
  const bool broken_word =
      size > 1 && paragraph[size - 1] == '-' && is_letter(paragraph[size - 2]) && is_letter(line[0]);
  if (size > 0 && !broken_word) paragraph += ' ';
  paragraph += one_line(line);
}

std::string unwrap(std::string_view text) {
  std::string result;
  std::string paragraph;
  const auto end_paragraph = [&] {
    if (paragraph.empty()) return;
    result += paragraph + "\n";
    paragraph.clear();
  };
  for (const std::string& raw : split(text, '\n')) {
    const std::string_view line = trim(raw);
    if (line.empty() || begins_sense(line)) end_paragraph();
    if (!line.empty()) append_line(paragraph, line);
  }
  end_paragraph();
  return result;
}

}  // namespace

std::string clean_gcide_entry(std::string_view raw) {
  return unwrap(drop_braces(drop_syllables(resolve_brackets(raw)))) + "\n";
}

void read_gcide_entries(TextReader& reader, const EntryVisitor& visit) {
  std::string entry;
  int64_t begin = 0;
  int64_t num_entries = 0;
  while (true) {
    const int64_t offset = reader.offset();
    const auto line = reader.next_line();
    const bool headword =
        line && !line->empty() && (*line)[0] != ' ' && (*line)[0] != '\n' && line->find('\\') != std::string_view::npos;
    if ((!line || headword) && !entry.empty()) {
      visit(clean_gcide_entry(entry), begin);
      ++num_entries;
      entry.clear();
    }
    if (!line) break;
    if (headword) begin = offset;
    if (headword || !entry.empty()) entry += *line;
  }
  if (num_entries == 0) {
    raise<DataError>(
        "no dictionary entry found; the input should be the unpacked gcide.dict of the package dict-gcide");
  }
}

}  // namespace moe
