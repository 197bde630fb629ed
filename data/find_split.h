// Looks up a corpus's split by its name.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/text.h"

namespace moe {

// Returns the split of that name, or null.
template <class Split>
const Split* find_split(const std::vector<Split>& splits, std::string_view name) {
  for (const Split& split : splits) {
    if (split.name() == name) return &split;
  }
  return nullptr;
}

// Returns the split of that name. Throws DataError, which lists the splits of `corpus`, when there is none.
template <class Split>
const Split& split_named(const std::string& corpus, const std::vector<Split>& splits, std::string_view name) {
  if (const Split* found = find_split(splits, name)) return *found;
  std::vector<std::string> names;
  for (const Split& split : splits) names.push_back(split.name());
  raise<DataError>("{} has no {} split; it has {}", corpus, name, join(names, ", "));
}

}  // namespace moe
