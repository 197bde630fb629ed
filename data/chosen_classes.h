// Leaves only the samples of some classes in a labelled set (data.labelled.classes).
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace moe {

// For each of a data set's classes, in order, its number among the chosen ones; -1 for a class that is left out. Throws
// DataError, which names `data`, for a name that the data set does not have, a repeated one, and fewer than two.
std::vector<int32_t> chosen_numbers(const std::string& data, const std::vector<std::string>& names,
                                    const std::vector<std::string>& chosen);

}  // namespace moe
