#include "data/class_counts.h"

#include <fmt/core.h>

#include <algorithm>
#include <map>
#include <numeric>

#include "core/base/integer.h"
#include "core/base/text.h"

namespace moe {

constexpr size_t kListed = 20;

// The first names of a list, each in quotes so that blanks show.
static std::string listed(const std::vector<std::string>& names) {
  std::vector<std::string> quoted;
  for (const std::string& name : names) {
    if (quoted.size() < kListed) quoted.push_back("'" + name + "'");
  }
  const size_t others = names.size() - quoted.size();
  return join(quoted, ", ") + (others > 0 ? fmt::format(" and {} more", others) : "");
}

// The name in lower case, with one blank for each run of them and none at the ends.
static std::string folded(const std::string& name) {
  std::vector<std::string> words;
  for (const std::string& word : split(name, ' ')) {
    if (const std::string_view trimmed = trim(word); !trimmed.empty()) words.emplace_back(trimmed);
  }
  return lower_case(join(words, " "));
}

std::string ClassCounts::in_words() const {
  std::vector<size_t> order(names.size());
  std::iota(order.begin(), order.end(), size_t{0});
  const size_t listed = std::min(order.size(), kListed);
  if (listed < order.size()) {
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return counts[a] > counts[b]; });
  }
  std::vector<std::string> parts;
  for (size_t i = 0; i < listed; ++i) parts.push_back(fmt::format("{} {}", names[order[i]], counts[order[i]]));
  if (listed < order.size()) {
    parts.push_back(
        fmt::format("{} more with {} to {}", order.size() - listed, counts[order.back()], counts[order[listed]]));
  }
  return join(parts, ", ");
}

std::vector<std::string> ClassCounts::doubts() const {
  std::vector<std::string> found, none, single;
  for (size_t i = 0; i < names.size(); ++i) {
    if (counts[i] == 0) {
      none.push_back(names[i]);
    } else if (counts[i] == 1 && i == as_index(first)) {
      found.push_back(
          fmt::format("the class '{}' has one training sample, the first of the file: if that is a heading, "
                      "remove its line",
                      names[i]));
    } else if (counts[i] == 1) {
      single.push_back(names[i]);
    }
  }
  if (!none.empty()) found.push_back("classes without training samples: " + listed(none));
  if (!single.empty()) found.push_back("classes with one training sample: " + listed(single));
  std::map<std::string, std::vector<std::string>> alike;
  for (const std::string& name : names) alike[folded(name)].push_back(name);
  for (const auto& [name, group] : alike) {
    if (group.size() > 1) found.push_back("classes whose names differ in blanks or case alone: " + listed(group));
  }
  return found;
}

}  // namespace moe
