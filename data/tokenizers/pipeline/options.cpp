#include "data/tokenizers/pipeline/options.h"

#include <cctype>

namespace moe {

bool is_absent(const Json& json, std::string_view key) {
  return member_or_null(json, key).is_null();
}

const Json& member_or_null(const Json& json, std::string_view key) {
  static const Json null;
  const Json* found = json.find(key);
  return found ? *found : null;
}

void refuse_option(const Json& json, std::string_view key, std::string_view of) {
  const Json& value = member_or_null(json, key);
  const bool is_set = value.is_boolean()  ? value.get<bool>()
                      : value.is_number() ? value.get<double>() != 0
                      : value.is_string() ? !value.get<std::string>().empty()
                                          : value.size() > 0;
  if (is_set) raise<DataError>("{} with the option {} is not supported", of, key);
}

// \h is a hexadecimal digit there and a blank in ICU; a + after a {repetition} repeats it there, and forbids
// backtracking in ICU.
static void refuse_ambiguous(const std::string& expression) {
  const auto refuse = [&](std::string_view part) {
    raise<DataError>("the regular expression {} is not supported, because of its {}", expression, part);
  };
  for (const char* part : {"\\h", "\\H"}) {
    if (expression.find(part) != expression.npos) refuse(part);
  }
  for (size_t at = expression.find("}+"); at != expression.npos; at = expression.find("}+", at + 1)) {
    const char before = at > 0 ? expression[at - 1] : '{';
    if (std::isdigit(static_cast<unsigned char>(before)) || before == ',') refuse("}+");
  }
}

TextPattern pattern_of(const Json& json) {
  if (json.is_string()) return TextPattern::literal(json.get<std::string>());
  if (const Json* text = json.find("String")) return TextPattern::literal(text->get<std::string>());
  if (const Json* text = json.find("Rust")) return TextPattern::regex(text->get<std::string>(), /*by_line=*/false);
  const auto expression = json.at("Regex").get<std::string>();
  refuse_ambiguous(expression);
  return TextPattern::regex(expression);
}

}  // namespace moe
