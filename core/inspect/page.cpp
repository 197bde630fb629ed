#include "core/inspect/page.h"

#include <fmt/core.h>

#include "core/base/build_info.h"
#include "core/inspect/markup.h"
#include "core/inspect/page_style.h"

namespace moe {

std::string whole_page(const std::string& title, const std::string& body) {
  return fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{}</title>\n"
      "<style>{}</style>\n</head>\n<body>\n<main>\n{}<footer>moe-inspect "
      "{}</footer>\n</main>\n</body>\n</html>\n",
      escape_markup(title), kPageStyle, body, escape_markup(version()));
}

std::string section(const std::string& title, const std::string& body) {
  return body.empty() ? "" : fmt::format("<section><h2>{}</h2>\n{}</section>\n", title, body);
}

std::string plots(const std::string& figures) {
  return figures.empty() ? "" : "<div class=\"plots\">\n" + figures + "</div>\n";
}

std::string header_cells(const std::vector<std::string>& names) {
  std::string html = "<thead><tr>";
  for (const std::string& name : names) html += fmt::format("<th scope=\"col\">{}</th>", escape_markup(name));
  return html + "</tr></thead>\n";
}

}  // namespace moe
