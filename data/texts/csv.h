// Records of a CSV file (RFC 4180): fields between commas; in quotes a field may hold commas, line ends and, twice
// each, quotes.
#pragma once
#include <functional>
#include <string>
#include <vector>

namespace moe {

// visit(fields, number of the line that the record begins on), without empty lines. DataError that names `path` and the
// line for quotes that do not close or that something follows.
void for_each_csv_record(const std::string& path,
                         const std::function<void(const std::vector<std::string>&, int64_t)>& visit);

}  // namespace moe
