// Checks markup, for tests of web pages.
#pragma once
#include <string>
#include <vector>

namespace moe {

// Empty when every element is closed in order, every attribute is quoted and every & is a reference; otherwise a
// description of the fault.
inline std::string markup_error(const std::string& html) {
  std::vector<std::string> open;
  for (size_t i = 0; i < html.size(); ++i) {
    if (html[i] == '&') {
      const size_t end = html.find(';', i);
      if (end == std::string::npos || end - i > 6) return "a bare & before: " + html.substr(i, 30);
    }
    if (html[i] == '>') return "a bare > before: " + html.substr(i, 30);
    if (html[i] != '<') continue;
    const size_t begin = i;
    bool quoted = false;
    for (++i; i < html.size() && (quoted || html[i] != '>'); ++i) {
      if (html[i] == '"') quoted = !quoted;
      if (html[i] == '<') return "< inside of a tag: " + html.substr(begin, 60);
    }
    const std::string tag = html.substr(begin + 1, i - begin - 1);
    const std::string name = tag.substr(tag[0] == '/', tag.find_first_of(" /", 1) - (tag[0] == '/'));
    if (tag[0] == '!' || name == "meta" || tag.back() == '/') continue;
    if (tag[0] != '/') {
      open.push_back(name);
      // What is inside of these is no markup.
      if (name == "style" || name == "script") i = html.find("</" + name + ">", i) - 1;
      if (name != "input") continue;
      open.pop_back();  // has no end tag
    } else if (open.empty() || open.back() != name) {
      return "</" + name + "> closes " + (open.empty() ? "nothing" : open.back());
    } else {
      open.pop_back();
    }
  }
  return open.empty() ? "" : open.back() + " is never closed";
}

// The same for a page that must be self-contained and must not contain NaN or infinite numbers.
inline std::string page_error(const std::string& page) {
  for (const char* part : {"http://", "https://", "<script ", "fetch(", "import(", "url(", "nan", "inf\""}) {
    if (page.find(part) != std::string::npos) return std::string("it holds ") + part;
  }
  return markup_error(page);
}

}  // namespace moe
