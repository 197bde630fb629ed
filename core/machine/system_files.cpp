#include "core/machine/system_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <sstream>
#include <system_error>
#include <utility>

#include "core/base/text.h"

namespace moe {

std::optional<std::string> SystemFiles::read(const std::string& path) const {
  std::ifstream file(root_ + path);
  if (!file) return std::nullopt;
  std::stringstream text;
  text << file.rdbuf();
  // A file of the kernel may open and then refuse to be read.
  return file.bad() ? std::nullopt : std::optional(text.str());
}

std::vector<std::string> SystemFiles::lines(const std::string& path) const {
  std::vector<std::string> result;
  std::istringstream text(read(path).value_or(""));
  for (std::string line; std::getline(text, line);) result.push_back(line);
  return result;
}

template <class T>
static std::optional<T> parse(std::string_view text) {
  T value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() ? std::optional(value) : std::nullopt;
}

std::optional<int64_t> SystemFiles::number(const std::string& path) const {
  const std::optional<std::string> text = read(path);
  return text ? parse<int64_t>(trim(*text)) : std::nullopt;
}

std::vector<int> parse_cpu_list(const std::string& text) {
  constexpr int kMost = 1 << 16;  // far above what Linux supports
  std::vector<std::pair<int, int>> ranges;
  for (const std::string& part : split(std::string(trim(text)), ',')) {
    const std::vector<std::string> ends = split(part, '-');
    const std::optional<int> first = parse<int>(ends.front()), last = parse<int>(ends.back());
    if (!first || !last || *first < 0 || *last < *first || *last >= kMost || ends.size() > 2) continue;
    ranges.emplace_back(*first, *last);
  }
  // Ranges may overlap: in ascending order, each adds only what lies after the ones before it.
  std::sort(ranges.begin(), ranges.end());
  std::vector<int> cpus;
  for (const auto& [first, last] : ranges) {
    for (int cpu = cpus.empty() ? first : std::max(first, cpus.back() + 1); cpu <= last; ++cpu) cpus.push_back(cpu);
  }
  return cpus;
}

std::string cpu_list_text(const std::vector<int>& cpus) {
  std::string text;
  for (size_t i = 0; i < cpus.size();) {
    size_t end = i;
    while (end + 1 < cpus.size() && cpus[end + 1] == cpus[end] + 1) ++end;
    text += (text.empty() ? "" : ",") + std::to_string(cpus[i]);
    if (end > i) text += "-" + std::to_string(cpus[end]);
    i = end + 1;
  }
  return text;
}

}  // namespace moe
