// Text whose tokens are coloured by expert, for a terminal.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace moe {

// `text` on a background that stands for an expert, by escape sequences of 256 colours. Experts whose numbers are a
// multiple of the number of colours apart share one.
std::string coloured_by_expert(std::string_view text, int32_t expert);
// A line that shows the colours of experts [0, count).
std::string expert_colours(int64_t count);

}  // namespace moe
