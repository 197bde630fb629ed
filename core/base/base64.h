// Base64 (RFC 4648): bytes as text, for formats that only allow text (JSON, HTML).
#pragma once
#include <string>
#include <string_view>

namespace moe {

std::string to_base64(std::string_view bytes);
// Throws DataError for text that to_base64 cannot have written.
std::string from_base64(std::string_view text);

}  // namespace moe
