#include "core/study/grid.h"

#include <fmt/core.h>

#include <algorithm>

#include "core/base/check.h"
#include "core/base/text.h"

namespace moe {

GridKey parse_grid_key(const std::string& text) {
  const size_t equals = text.find('=');
  const std::string key = text.substr(0, equals);
  if (equals == text.npos || equals == 0 || equals + 1 == text.size() ||
      key.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_.") != key.npos)
    raise<UsageError>("{}: expected KEY=V1|V2|...", text);
  for (const std::string& part : split(key, '.')) {
    if (part.find_first_not_of("0123456789") == part.npos)
      raise<UsageError>("{}: members of lists cannot be searched; give the whole list as a value", key);
  }
  return {key, split(text.substr(equals + 1), '|')};
}

std::vector<Candidate> combinations(const std::vector<GridKey>& grid) {
  std::vector<Candidate> candidates{{}};
  for (const GridKey& key : grid) {
    std::vector<Candidate> longer;
    for (const Candidate& candidate : candidates) {
      for (const std::string& value : key.values) {
        longer.push_back(candidate);
        longer.back().push_back(key.key + "=" + value);
      }
    }
    candidates = std::move(longer);
  }
  return candidates;
}

std::string name_of(const Candidate& candidate) {
  std::string name;
  for (const std::string& setting : candidate) {
    const size_t equals = setting.find('='), dot = setting.rfind('.', equals);
    if (!name.empty()) name += ',';
    name += setting.substr(dot == setting.npos ? 0 : dot + 1);
  }
  std::string allowed;
  for (const char c : name) {
    const bool good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                      std::string_view("=,._").find(c) != std::string_view::npos;
    if (good || !allowed.ends_with('-')) allowed += good ? c : '-';
  }
  if (allowed.ends_with('-')) allowed.pop_back();
  return allowed;
}

// Keys share their common levels, because they are sorted.
std::string yaml_of(const Candidate& candidate) {
  Candidate sorted = candidate;
  std::sort(sorted.begin(), sorted.end());
  std::string text;
  std::vector<std::string> open;
  for (const std::string& setting : sorted) {
    const size_t equals = setting.find('=');
    const std::vector<std::string> path = split(setting.substr(0, equals), '.');
    for (size_t i = 0; i + 1 < path.size(); ++i) {
      if (i < open.size() && open[i] == path[i]) continue;
      text += fmt::format("{:{}}{}:\n", "", 2 * i, path[i]);
      open.assign(path.begin(), path.begin() + static_cast<ptrdiff_t>(i) + 1);
    }
    open.resize(std::min(open.size(), path.size() - 1));
    text += fmt::format("{:{}}{}: {}\n", "", 2 * (path.size() - 1), path.back(), setting.substr(equals + 1));
  }
  return text;
}

}  // namespace moe
