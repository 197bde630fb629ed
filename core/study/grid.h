// Values of keys to try: 'KEY=V1|V2|...'.
#pragma once
#include <string>
#include <utility>
#include <vector>

namespace moe {

struct GridKey {
  std::string key;
  std::vector<std::string> values;
};

// Throws UsageError for another form, and for members of lists, whose other members a configuration file would lose.
GridKey parse_grid_key(const std::string& text);

// "key=value" of each key, in their order.
using Candidate = std::vector<std::string>;

// Every combination; the last key changes fastest.
std::vector<Candidate> combinations(const std::vector<GridKey>& grid);

// The last parts of the keys with their values, without characters that are not allowed in file names:
// "k=2,from=1e-3".
std::string name_of(const Candidate& candidate);

// The candidate as a configuration file.
std::string yaml_of(const Candidate& candidate);

}  // namespace moe
