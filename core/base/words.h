// The allowed words of a field that selects an entry of a table of a higher layer. They come from that table, so a new
// entry can be configured at once: words_of<T>() is specialised next to the table of the entries T, as family<F>() is.
#pragma once
#include <string>
#include <vector>

namespace moe {

template <class T>
std::vector<std::string> words_of();

}  // namespace moe
