// Records of a CSV file (RFC 4180): fields are separated by commas. A quoted field may hold commas, line ends and
// quotes, which are doubled.
#pragma once
#include <functional>
#include <string>
#include <vector>

namespace moe {

// Calls visit(fields, number of the line on which the record begins); empty lines are skipped. Throws DataError that
// names `path` and the line for a quote that is not closed, or one that is followed by text.
void for_each_csv_record(const std::string& path,
                         const std::function<void(const std::vector<std::string>&, int64_t)>& visit);

}  // namespace moe
