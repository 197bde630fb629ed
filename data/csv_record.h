// One record of a file of separated columns: CSV (RFC 4180), where a quoted field may hold commas, line ends and
// quotes, which are doubled; or TSV, where a record is a line and quotes are characters like others.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace moe {

constexpr char kCsv = ',', kTsv = '\t';  // what separates fields

// Reads the record at the start of `text` into `fields`. `is_last`: the file ends with `text`. Returns the number of
// bytes of the record with its line end, or 0 if it is not complete, which it always is with is_last. Throws DataError
// that names `path` and the line, counted from `line`, for a quote that is not closed and one that is followed by text.
size_t read_record(std::string_view text, char separator, bool is_last, const std::string& path, int64_t line,
                   std::vector<std::string>& fields);

}  // namespace moe
