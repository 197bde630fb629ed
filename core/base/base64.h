// Bytes as text, where only text may stand (JSON, HTML): RFC 4648.
#pragma once
#include <string>
#include <string_view>

namespace moe {

std::string to_base64(std::string_view bytes);
// Throws DataError for what to_base64 does not write.
std::string from_base64(std::string_view text);

}  // namespace moe
