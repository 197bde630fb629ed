#include "core/inspect/markup.h"

#include <fmt/core.h>

#include <algorithm>
#include <cstdint>

namespace moe {

// Number of bytes of the well-formed UTF-8 character at the start of `text`, or 0.
static size_t utf8_length(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t lead = byte(0);
  const size_t length = lead < 0x80                   ? 1
                        : lead >= 0xC2 && lead < 0xE0 ? 2
                        : (lead & 0xF0) == 0xE0       ? 3
                        : lead >= 0xF0 && lead < 0xF5 ? 4
                                                      : 0;
  if (length == 0 || length > text.size()) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
  }
  if (length == 3 && ((lead == 0xE0 && byte(1) < 0xA0) || (lead == 0xED && byte(1) >= 0xA0))) return 0;
  if (length == 4 && ((lead == 0xF0 && byte(1) < 0x90) || (lead == 0xF4 && byte(1) >= 0x90))) return 0;
  return length;
}

std::string escape_markup(std::string_view text) {
  std::string result;
  while (!text.empty()) {
    const size_t length = utf8_length(text);
    const char c = text[0];
    if (length == 0 || (length == 1 && static_cast<uint8_t>(c) < 0x20 && c != '\n' && c != '\t') || c == 0x7F)
      result += "\xEF\xBF\xBD";
    else if (c == '&')
      result += "&amp;";
    else if (c == '<')
      result += "&lt;";
    else if (c == '>')
      result += "&gt;";
    else if (c == '"')
      result += "&quot;";
    else if (c == '\'')
      result += "&#39;";
    else
      result += text.substr(0, length);
    text.remove_prefix(std::max<size_t>(length, 1));
  }
  return result;
}

std::string figure(std::string_view title, std::string_view note, std::string_view body, std::string_view css_class) {
  return fmt::format("<figure class=\"{}\"><figcaption><b>{}</b> <span>{}</span></figcaption>\n{}</figure>\n",
                     css_class, escape_markup(title), escape_markup(note), body);
}

}  // namespace moe
