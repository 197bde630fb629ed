#include "data/chosen_classes.h"

#include <algorithm>

#include "core/base/check.h"
#include "core/base/integer.h"
#include "core/base/text.h"

namespace moe {

std::vector<int32_t> chosen_numbers(const std::string& data, const std::vector<std::string>& names,
                                    const std::vector<std::string>& chosen) {
  if (chosen.size() < 2) raise<DataError>("{}: data.labelled.classes: a classifier needs at least 2 classes", data);
  std::vector<int32_t> numbers(names.size(), -1);
  for (size_t i = 0; i < chosen.size(); ++i) {
    const auto found = std::find(names.begin(), names.end(), chosen[i]);
    if (found == names.end()) {
      raise<DataError>("{}: data.labelled.classes: there is no class '{}'; it has {}", data, chosen[i],
                       join(names, ", ").substr(0, 200));
    }
    int32_t& number = numbers[as_index(found - names.begin())];
    if (number >= 0) raise<DataError>("{}: data.labelled.classes: '{}' is there twice", data, chosen[i]);
    number = static_cast<int32_t>(i);
  }
  return numbers;
}

}  // namespace moe
