#include "core/config/layer_overrides.h"

#include <charconv>
#include <string_view>
#include <system_error>

#include "core/base/check.h"
#include "core/base/text.h"

namespace moe {

static int64_t block_number(const std::string& whole, std::string_view text) {
  text = trim(text);
  if (text == "last") return -1;
  int64_t block = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, status] = std::from_chars(text.data(), end, block);
  if (status == std::errc() && stop == end && block >= 0) return block;
  raise<UsageError>("'{}' does not name blocks; write 3, 0-2, last, or several of these: 0, 2-3, last", whole);
}

BlockRange::BlockRange(const std::string& text) : text_(text) {
  for (const std::string& part : split(text, ',')) {
    const size_t dash = part.find('-');
    const int64_t first = block_number(text, std::string_view(part).substr(0, dash));
    parts_.push_back(
        {first, dash == std::string::npos ? first : block_number(text, std::string_view(part).substr(dash + 1))});
  }
}

std::vector<int64_t> BlockRange::blocks(int64_t layers) const {
  std::vector<int64_t> result;
  for (const Part& part : parts_) {
    const int64_t first = part.first < 0 ? layers - 1 : part.first, last = part.last < 0 ? layers - 1 : part.last;
    if (first > last || last >= layers) {
      raise<UsageError>("'{}': no such range of blocks; the model has blocks 0 to {}", text_, layers - 1);
    }
    for (int64_t block = first; block <= last; ++block) result.push_back(block);
  }
  return result;
}

}  // namespace moe
