// Building blocks of the web pages.
#pragma once
#include <string>
#include <vector>

namespace moe {

// A page that needs no other file; `title` is plain text, `body` is markup.
std::string whole_page(const std::string& title, const std::string& body);
// Both return nothing for an empty argument. Plots are placed side by side where there is room.
std::string section(const std::string& title, const std::string& body);
std::string plots(const std::string& figures);
// The head of a table.
std::string header_cells(const std::vector<std::string>& names);

}  // namespace moe
