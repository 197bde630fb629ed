// Tables of a report, for the terminal and for the web page.
#pragma once
#include <string>
#include <vector>

namespace moe {

struct ReportTable {
  std::string title;
  std::vector<std::string> columns;
  std::vector<std::vector<std::string>> rows;
  std::vector<size_t> colours{};  // of the rows, in the palette of the page; empty: the row's number
};

// The colours that a palette has; larger numbers begin again.
constexpr size_t kPaletteSize = 8;

// The first column left-aligned, all others right-aligned; without the title.
std::string table_text(const ReportTable& table);
// A card with the table. Verdicts are coloured.
std::string table_markup(const ReportTable& table);

// Breaks running text into lines, and ends it with a line break.
std::string wrapped(const std::string& text);

// Texts of table cells; "-" for what is NaN.
std::string figure_text(double value, int decimals);
std::string signed_text(double value, int decimals = 4);
std::string count_text(double value);  // 1.5M
std::string ratio_text(double ratio);  // 1.25x; infinite: "no limit"

}  // namespace moe
