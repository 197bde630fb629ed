#include "core/inspect/markup.h"

#include <fmt/core.h>

#include "core/base/text.h"

namespace moe {

std::string escape_markup(std::string_view text) {
  std::string result;
  for (const char c : shown(text)) {
    switch (c) {
      case '&':
        result += "&amp;";
        break;
      case '<':
        result += "&lt;";
        break;
      case '>':
        result += "&gt;";
        break;
      case '"':
        result += "&quot;";
        break;
      case '\'':
        result += "&#39;";
        break;
      default:
        result += c;
    }
  }
  return result;
}

std::string figure(std::string_view title, std::string_view note, std::string_view body, std::string_view css_class) {
  return fmt::format("<figure class=\"{}\"><figcaption><b>{}</b> <span>{}</span></figcaption>\n{}</figure>\n",
                     css_class, escape_markup(title), escape_markup(note), body);
}

}  // namespace moe
