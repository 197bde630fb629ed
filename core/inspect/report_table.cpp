#include "core/inspect/report_table.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "core/base/text.h"
#include "core/base/units.h"
#include "core/inspect/markup.h"
#include "core/inspect/verdict.h"

namespace moe {
namespace {

constexpr size_t kColumns = 100;  // width of running text

std::string cell_class(const std::string& text) {
  if (text == name_of(Verdict::Kind::better)) return " class=\"good\"";
  if (text == name_of(Verdict::Kind::worse) || text == name_of(Verdict::Kind::diverged)) return " class=\"bad\"";
  return "";
}

}  // namespace

std::string table_text(const ReportTable& table) {
  std::vector<size_t> widths;
  for (const std::string& column : table.columns) widths.push_back(column.size());
  for (const auto& row : table.rows) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  const auto line = [&](const std::vector<std::string>& cells) {
    std::string text = fmt::format("{:<{}}", cells[0], widths[0]);
    for (size_t i = 1; i < cells.size(); ++i) text += fmt::format("  {:>{}}", cells[i], widths[i]);
    while (text.ends_with(' ')) text.pop_back();
    return text + "\n";
  };
  std::string text = line(table.columns);
  for (const auto& row : table.rows) text += line(row);
  return text;
}

std::string table_markup(const ReportTable& table) {
  std::string html = "<thead><tr>";
  for (size_t i = 0; i < table.columns.size(); ++i) {
    html +=
        fmt::format("<th scope=\"col\"{}>{}</th>", i == 0 ? " class=\"name\"" : "", escape_markup(table.columns[i]));
  }
  html += "</tr></thead>\n<tbody>\n";
  for (size_t r = 0; r < table.rows.size(); ++r) {
    const auto& row = table.rows[r];
    html += fmt::format("<tr><td class=\"name\"><i class=\"c{}\"></i>{}</td>",
                        (table.colours.empty() ? r : table.colours[r]) % kPaletteSize, escape_markup(row[0]));
    for (size_t i = 1; i < row.size(); ++i)
      html += fmt::format("<td{}>{}</td>", cell_class(row[i]), escape_markup(row[i]));
    html += "</tr>\n";
  }
  return "<div class=\"card scroll\"><table>\n" + html + "</tbody></table></div>\n";
}

std::string wrapped(const std::string& text) {
  std::string result, line;
  for (const std::string& word : split(text, ' ')) {
    if (!line.empty() && line.size() + 1 + word.size() > kColumns) {
      result += line + "\n";
      line.clear();
    }
    line += (line.empty() ? "" : " ") + word;
  }
  return result + line + "\n";
}

std::string figure_text(double value, int decimals) {
  return std::isnan(value) ? "-" : fmt::format("{:.{}f}", value, decimals);
}

std::string signed_text(double value, int decimals) {
  return std::isnan(value) ? "-" : fmt::format("{:+.{}f}", value, decimals);
}

std::string count_text(double value) {
  return std::isnan(value) ? "-" : format_count(value);
}

std::string ratio_text(double ratio) {
  return std::isnan(ratio) ? "-" : std::isinf(ratio) ? "no limit" : fmt::format("{:.2f}x", ratio);
}

}  // namespace moe
