#include "core/generate/coloured_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace moe {

// Light colours of the 6 x 6 x 6 cube, neighbours far apart, on which black text can be read.
static constexpr std::array<int, 16> kColours = {153, 217, 157, 229, 183, 223, 123, 211,
                                                 193, 147, 215, 159, 225, 187, 111, 150};

std::string coloured_by_expert(std::string_view text, int32_t expert) {
  if (text.empty()) return {};
  std::string result;
  // A line's end keeps the default background, which would otherwise fill the rest of the line.
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    if (end > begin) {
      result += fmt::format("\x1b[30;48;5;{}m{}\x1b[0m", kColours[static_cast<size_t>(expert) % kColours.size()],
                            text.substr(begin, end - begin));
    }
    if (end < text.size()) result += '\n';
    begin = end + 1;
  }
  return result;
}

std::string expert_colours(int64_t count) {
  std::string line = "experts:";
  for (int64_t e = 0; e < count; ++e) line += ' ' + coloured_by_expert(fmt::format(" {} ", e), static_cast<int32_t>(e));
  return line;
}

}  // namespace moe
