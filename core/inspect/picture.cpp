#include "core/inspect/picture.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "core/base/base64.h"
#include "core/base/check.h"
#include "core/base/integer.h"
#include "core/inspect/markup.h"

namespace moe {
namespace {

void put_u32(std::string& out, uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(value >> shift & 0xFF);
}

uint32_t crc32(std::string_view bytes) {
  uint32_t crc = 0xFFFFFFFFu;
  for (const char c : bytes) {
    crc ^= static_cast<unsigned char>(c);
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320u : 0);
  }
  return ~crc;
}

uint32_t adler32(std::string_view bytes) {
  uint32_t a = 1, b = 0;
  for (const char c : bytes) {
    a = (a + static_cast<unsigned char>(c)) % 65521;
    b = (b + a) % 65521;
  }
  return b << 16 | a;
}

void put_chunk(std::string& out, const char* type, const std::string& data) {
  put_u32(out, static_cast<uint32_t>(data.size()));
  const std::string checked = type + data;
  out += checked;
  put_u32(out, crc32(checked));
}

// zlib's container format around stored (uncompressed) blocks.
std::string stored(std::string_view data) {
  constexpr size_t kBlock = 65535;
  std::string out = "\x78\x01";
  for (size_t at = 0; at < data.size(); at += kBlock) {
    const size_t length = std::min(kBlock, data.size() - at);
    out += at + length == data.size() ? '\1' : '\0';
    for (const size_t value : {length, ~length}) {
      out += static_cast<char>(value & 0xFF);
      out += static_cast<char>(value >> 8 & 0xFF);
    }
    out += data.substr(at, length);
  }
  put_u32(out, adler32(data));
  return out;
}

uint8_t pixel(const SampleView& v, int64_t channel, int64_t y, int64_t x) {
  return v.pixels[as_index((channel * v.height + y) * v.width + x)];
}

}  // namespace

std::string png(const SampleView& v) {
  MOE_CHECK(v.channels == 1 || v.channels == 3, "a picture of {} channels", v.channels);
  std::string header, rows;
  put_u32(header, static_cast<uint32_t>(v.width));
  put_u32(header, static_cast<uint32_t>(v.height));
  header += '\x08';                           // bits per channel
  header += v.channels == 1 ? '\0' : '\x02';  // grey or colour
  header += std::string(3, '\0');             // compression, filters and interlacing: the default methods
  for (int64_t y = 0; y < v.height; ++y) {
    rows += '\0';  // no filter
    for (int64_t x = 0; x < v.width; ++x) {
      for (int64_t c = 0; c < v.channels; ++c) rows += static_cast<char>(pixel(v, c, y, x));
    }
  }
  std::string out = "\x89PNG\r\n\x1a\n";
  put_chunk(out, "IHDR", header);
  put_chunk(out, "IDAT", stored(rows));
  put_chunk(out, "IEND", "");
  return out;
}

std::string picture_markup(const SampleView& v) {
  return fmt::format("<img class=\"sample\" alt=\"{0}\" title=\"{0}\" src=\"data:image/png;base64,{1}\">",
                     escape_markup(v.text), to_base64(png(v)));
}

std::string picture_text(const SampleView& v, int64_t columns) {
  static constexpr std::string_view kShades = " .:-=+*#%@";
  const int64_t step = (v.width + columns - 1) / columns;
  std::string text;
  for (int64_t top = 0; top < v.height; top += 2 * step) {
    std::string line;
    for (int64_t left = 0; left < v.width; left += step) {
      int64_t sum = 0, count = 0;
      for (int64_t y = top; y < std::min(top + 2 * step, v.height); ++y) {
        for (int64_t x = left; x < std::min(left + step, v.width); ++x) {
          for (int64_t c = 0; c < v.channels; ++c, ++count) sum += pixel(v, c, y, x);
        }
      }
      line += kShades[as_index(sum * static_cast<int64_t>(kShades.size()) / (256 * count))];
    }
    text += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
  }
  return text;
}

}  // namespace moe
