#include "data/tokenizers/pipeline/decoder.h"

#include <charconv>
#include <utility>

#include "core/base/check.h"
#include "core/base/table.h"
#include "data/tokenizers/pipeline/options.h"

namespace moe {

namespace {

using Step = PieceDecoder::Step;
using Steps = std::vector<Step>;

Steps nothing(const Json&) {
  return {};
}

Step replacing(TextPattern pattern, std::string content) {
  return [pattern = std::move(pattern), content = std::move(content)](std::string& piece) {
    std::string result;
    size_t done = 0;
    pattern.for_each_match(piece, [&](size_t begin, size_t end) {
      result += piece.substr(done, begin - done) + content;
      done = end;
    });
    piece = result + piece.substr(done);
  };
}

Steps replace(const Json& json) {
  return {replacing(pattern_of(json.at("pattern")), json.at("content").get<std::string>())};
}

Steps metaspace(const Json& json) {
  return {replacing(TextPattern::literal(json.at("replacement").get<std::string>()), " ")};
}

Steps byte_fallback(const Json&) {
  return {[](std::string& piece) {
    if (piece.size() != 6 || !piece.starts_with("<0x") || piece.back() != '>') return;
    unsigned value = 0;
    const char *begin = piece.data() + 3, *end = begin + 2;
    if (std::from_chars(begin, end, value, 16).ptr == end) piece = std::string(1, static_cast<char>(value));
  }};
}

Steps word_piece(const Json& json) {
  const std::string prefix = json.value("prefix", "##");
  return {
      [prefix](std::string& piece) { piece = piece.starts_with(prefix) ? piece.substr(prefix.size()) : " " + piece; }};
}

Steps sequence(const Json& json);

struct Kind {
  std::string_view name;
  Steps (*make)(const Json& json);
};

const Table<Kind>& kinds() {
  static const Table<Kind> table{"decoder",
                                 {{"ByteLevel", nothing},
                                  {"Metaspace", metaspace},
                                  {"Replace", replace},
                                  {"ByteFallback", byte_fallback},
                                  {"Fuse", nothing},
                                  {"Strip", nothing},  // of blanks that the encoder puts in front of the text
                                  {"WordPiece", word_piece},
                                  {"Sequence", sequence}}};
  return table;
}

Steps sequence(const Json& json) {
  Steps steps;
  for (const Json& part : json.at("decoders")) {
    for (Step& step : kind_in(kinds(), part).make(part)) steps.push_back(std::move(step));
  }
  return steps;
}

}  // namespace

PieceDecoder::PieceDecoder(const Json& json) {
  if (!json.is_null()) steps_ = kind_in(kinds(), json).make(json);
}

std::string PieceDecoder::decode(std::string piece) const {
  for (const Step& step : steps_) step(piece);
  return piece;
}

}  // namespace moe
