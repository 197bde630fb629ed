// Escaping and elements for HTML and SVG.
#pragma once
#include <string>
#include <string_view>

namespace moe {

// Returns text that is safe as content and inside double quotes; control characters and broken UTF-8 become U+FFFD.
std::string escape_markup(std::string_view text);

// A <figure> with a caption above `body`; all arguments but `body` are plain text.
std::string figure(std::string_view title, std::string_view note, std::string_view body,
                   std::string_view css_class = "");

}  // namespace moe
