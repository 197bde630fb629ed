// What web pages are put together from.
#pragma once
#include <string>
#include <vector>

namespace moe {

// A page that needs no other file; `title` is plain text, `body` is markup.
std::string whole_page(const std::string& title, const std::string& body);
// Nothing when there is no body; so with plots(), which stand side by side where there is room.
std::string section(const std::string& title, const std::string& body);
std::string plots(const std::string& figures);
// The head of a table.
std::string header_cells(const std::vector<std::string>& names);

}  // namespace moe
