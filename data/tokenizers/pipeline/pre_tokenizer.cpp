#include "data/tokenizers/pipeline/pre_tokenizer.h"

#include <algorithm>
#include <string>
#include <utility>

#include "core/base/check.h"
#include "core/base/table.h"
#include "data/tokenizers/pipeline/options.h"
#include "data/tokenizers/pipeline/unicode.h"

namespace moe {

void Words::prepend(Word& word, std::string_view prefix) {
  AlignedText text = AlignedText::in_place_of(AlignedText({}, word.source->end_of(word.begin)));
  text.append(prefix, text.origin());
  text.append(*word.source, word.begin, word.end);
  word = {&texts.emplace_back(std::move(text)), 0, prefix.size() + word.end - word.begin, word.begins_group};
}

namespace {

struct Span {
  size_t begin, end;
  bool matches;
};
using Spans = std::vector<Span>;
using Matcher = std::function<void(std::string_view text, const TextPattern::Visitor& visit)>;

// What becomes of the matches of a pattern.
struct Behaviour {
  std::string_view name;
  void (*join)(Spans& spans);
};

void removed(Spans& spans) {
  std::erase_if(spans, [](const Span& span) { return span.matches; });
}
void isolated(Spans&) {}
// `backwards`: from the end, so that a match joins what follows it.
void join_matches(Spans& spans, bool backwards) {
  if (backwards) std::reverse(spans.begin(), spans.end());
  Spans joined;
  bool previous = false;
  for (const Span& span : spans) {
    if (span.matches && !previous && !joined.empty()) {
      joined.back().begin = std::min(joined.back().begin, span.begin);
      joined.back().end = std::max(joined.back().end, span.end);
    } else {
      joined.push_back(span);
    }
    previous = span.matches;
  }
  if (backwards) std::reverse(joined.begin(), joined.end());
  spans = std::move(joined);
}
void merged_with_previous(Spans& spans) {
  join_matches(spans, false);
}
void merged_with_next(Spans& spans) {
  join_matches(spans, true);
}
void contiguous(Spans& spans) {
  Spans joined;
  bool previous = false;
  for (const Span& span : spans) {
    if (span.matches == previous && !joined.empty())
      joined.back().end = span.end;
    else
      joined.push_back(span);
    previous = span.matches;
  }
  spans = std::move(joined);
}

const Table<Behaviour>& behaviours() {
  static const Table<Behaviour> table{"behaviour of a pre-tokeniser",
                                      {{"Removed", removed},
                                       {"Isolated", isolated},
                                       {"MergedWithPrevious", merged_with_previous},
                                       {"MergedWithNext", merged_with_next},
                                       {"Contiguous", contiguous}}};
  return table;
}

const Behaviour& behaviour_of(const std::string& name) {
  if (const Behaviour* found = behaviours().find(name)) return *found;
  raise<DataError>("the {} {} is not supported", behaviours().family(), name);
}

void cut(Words& words, const Matcher& matcher, const Behaviour& behaviour, bool invert) {
  std::vector<Word> result;
  Spans spans;
  for (const Word& word : words.all) {
    const std::string_view text = word.text();
    spans.clear();
    size_t done = 0;
    matcher(text, [&](size_t begin, size_t end) {
      if (begin > done) spans.push_back({done, begin, invert});
      spans.push_back({begin, end, !invert});
      done = end;
    });
    if (done < text.size()) spans.push_back({done, text.size(), invert});
    behaviour.join(spans);
    const bool only = words.all.size() == 1;  // the first step that cuts decides where groups begin
    for (const Span& span : spans) {
      if (span.begin == span.end) continue;
      const size_t begin = word.begin + span.begin;
      const bool first = span.begin == 0 ? word.begins_group : only && word.is_between_characters(begin);
      result.push_back({word.source, begin, word.begin + span.end, first});
    }
  }
  words.all = std::move(result);
  words.are_cut = true;
}

struct Stage {
  std::vector<PreTokenizer::Step> steps;
  bool byte_level = false, keeps_text = true;
};

Stage cutting(Matcher matcher, const Behaviour& behaviour, bool invert = false) {
  Stage stage;
  stage.steps.emplace_back(
      [matcher = std::move(matcher), &behaviour, invert](Words& words) { cut(words, matcher, behaviour, invert); });
  stage.keeps_text = behaviour.join != removed;
  return stage;
}

Matcher matcher_of(TextPattern pattern) {
  return [pattern = std::move(pattern)](std::string_view text, const TextPattern::Visitor& visit) {
    pattern.for_each_match(text, visit);
  };
}

Matcher characters(bool (*is_of)(char32_t)) {
  return [is_of](std::string_view text, const TextPattern::Visitor& visit) {
    for (size_t at = 0; at < text.size();) {
      const size_t begin = at;
      if (is_of(next_character(text, at))) visit(begin, at);
    }
  };
}

Stage split(const Json& json) {
  return cutting(matcher_of(pattern_of(json.at("pattern"))), behaviour_of(json.at("behavior").get<std::string>()),
                 json.value("invert", false));
}

constexpr const char* kGpt2Words = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

Stage byte_level(const Json& json) {
  Stage stage;
  if (json.value("add_prefix_space", true)) {
    stage.keeps_text = false;
    stage.steps.emplace_back([](Words& words) {
      for (Word& word : words.all) {
        if (!words.is_continued(word) && !word.text().starts_with(' ')) words.prepend(word, " ");
      }
    });
  }
  if (json.value("use_regex", true)) {
    Stage words = cutting(matcher_of(TextPattern::regex(kGpt2Words)), behaviour_of("Isolated"));
    stage.steps.push_back(std::move(words.steps.front()));
  }
  stage.byte_level = true;
  return stage;
}

Stage digits(const Json& json) {
  return cutting(characters(is_numeric),
                 behaviour_of(json.value("individual_digits", false) ? "Isolated" : "Contiguous"));
}

Stage punctuation(const Json& json) {
  return cutting(characters(is_punctuation), behaviour_of(json.value("behavior", "Isolated")));
}

Stage whitespace(const Json&) {
  return cutting(matcher_of(TextPattern::regex(R"(\w+|[^\w\s]+)")), behaviour_of("Removed"), /*invert=*/true);
}

Stage whitespace_split(const Json&) {
  return cutting(characters(is_white_space), behaviour_of("Removed"));
}

Stage bert(const Json& json) {
  Stage stage = whitespace_split(json);
  Stage signs = cutting(characters(is_punctuation), behaviour_of("Isolated"));
  stage.steps.push_back(std::move(signs.steps.front()));
  return stage;
}

Stage delimiter(const Json& json) {
  return cutting(matcher_of(TextPattern::literal(json.at("delimiter").get<std::string>())), behaviour_of("Removed"));
}

// Blanks become visible, and so is where a word begins.
Stage metaspace(const Json& json) {
  const auto mark = json.at("replacement").get<std::string>();
  const std::string scheme = json.value("prepend_scheme", json.value("add_prefix_space", true) ? "always" : "never");
  if (scheme != "always" && scheme != "never" && scheme != "first")
    raise<DataError>("the pre-tokeniser Metaspace with the prepend_scheme {} is not supported", scheme);
  Stage stage;
  stage.keeps_text = false;
  stage.steps.emplace_back([mark, scheme](Words& words) {
    for (Word& word : words.all) {
      AlignedText text = AlignedText::in_place_of(AlignedText({}, word.source->end_of(word.begin)));
      const std::string_view old = word.text();
      const bool wanted = scheme == "always" ? !words.is_continued(word) : scheme == "first" && words.is_first(word);
      if (wanted && !old.starts_with(' ') && !old.starts_with(mark)) text.append(mark, text.origin());
      for (size_t at = 0; at < old.size(); ++at) {
        const size_t end = word.source->end_of(word.begin + at + 1);
        text.append(old[at] == ' ' ? std::string_view(mark) : old.substr(at, 1), end);
      }
      const size_t size = text.text().size();
      word = {&words.texts.emplace_back(std::move(text)), 0, size, word.begins_group};
    }
  });
  if (json.value("split", true)) {
    Stage words = cutting(matcher_of(TextPattern::literal(mark)), behaviour_of("MergedWithNext"));
    stage.steps.push_back(std::move(words.steps.front()));
  }
  return stage;
}

Stage sequence(const Json& json);

struct Kind {
  std::string_view name;
  Stage (*make)(const Json& json);
};

const Table<Kind>& kinds() {
  static const Table<Kind> table{"pre-tokeniser",
                                 {{"ByteLevel", byte_level},
                                  {"Split", split},
                                  {"Metaspace", metaspace},
                                  {"Whitespace", whitespace},
                                  {"WhitespaceSplit", whitespace_split},
                                  {"BertPreTokenizer", bert},
                                  {"Digits", digits},
                                  {"Punctuation", punctuation},
                                  {"CharDelimiterSplit", delimiter},
                                  {"Sequence", sequence}}};
  return table;
}

// In a sequence ByteLevel comes last: what follows would see its spelling of bytes in place of the text.
Stage sequence(const Json& json) {
  Stage all;
  for (const Json& part : json.at("pretokenizers")) {
    if (all.byte_level) throw DataError("a pre-tokeniser that follows ByteLevel is not supported");
    Stage stage = kind_in(kinds(), part).make(part);
    for (PreTokenizer::Step& step : stage.steps) all.steps.push_back(std::move(step));
    all.byte_level = stage.byte_level;
    all.keeps_text = all.keeps_text && stage.keeps_text;
  }
  return all;
}

}  // namespace

PreTokenizer::PreTokenizer(const Json& json) {
  if (json.is_null()) return;
  Stage stage = kind_in(kinds(), json).make(json);
  steps_ = std::move(stage.steps);
  byte_level_ = stage.byte_level;
  keeps_text_ = stage.keeps_text;
}

void PreTokenizer::apply(Words& words) const {
  for (const Step& step : steps_) step(words);
}

}  // namespace moe
