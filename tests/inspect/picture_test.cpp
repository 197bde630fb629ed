#include "core/inspect/picture.h"

#include "tests/support/catch.h"

namespace moe {
namespace {

uint32_t u32(const std::string& bytes, size_t at) {
  uint32_t value = 0;
  for (size_t i = 0; i < 4; ++i) value = value << 8 | static_cast<unsigned char>(bytes[at + i]);
  return value;
}

// Returns the data of a chunk; checks its type and that it fits into the file.
std::string chunk(const std::string& file, size_t& at, const std::string& type) {
  const size_t length = u32(file, at);
  REQUIRE(file.substr(at + 4, 4) == type);
  REQUIRE(at + 12 + length <= file.size());
  const std::string data = file.substr(at + 8, length);
  at += 12 + length;
  return data;
}

}  // namespace

TEST_CASE("a picture is a PNG file of stored rows") {
  const SampleView view{"a <picture>", 3, 2, 2, {1, 2, 3, 4, 11, 12, 13, 14, 21, 22, 23, 24}};
  const std::string file = png(view);
  CHECK(file.substr(0, 8) == "\x89PNG\r\n\x1a\n");
  size_t at = 8;
  const std::string header = chunk(file, at, "IHDR");
  CHECK(u32(header, 0) == 2);
  CHECK(u32(header, 4) == 2);
  CHECK(header.substr(8) == std::string("\x08\x02\0\0\0", 5));
  const std::string data = chunk(file, at, "IDAT");
  // zlib's two bytes, one last block of 14 bytes and its complement, rows of a filter byte and 2 x 3 colours, Adler-32.
  CHECK(data.substr(0, 7) == std::string("\x78\x01\x01\x0e\x00\xf1\xff", 7));
  CHECK(data.substr(7, 14) == std::string("\0\x01\x0b\x15\x02\x0c\x16\0\x03\x0d\x17\x04\x0e\x18", 14));
  CHECK(data.size() == 25);
  CHECK(u32(file, at) == 0);
  CHECK(u32(file, at + 8) == 0xAE426082);  // the checksum of every PNG's last chunk
  CHECK(at + 12 == file.size());
}

TEST_CASE("the checksum of a black pixel's row") {
  const std::string file = png({"", 1, 1, 1, {0}});
  size_t at = 8;
  chunk(file, at, "IHDR");
  const std::string data = chunk(file, at, "IDAT");
  CHECK(u32(data, data.size() - 4) == 0x00020001);
}

TEST_CASE("a picture in a page is well-formed and has a description") {
  const std::string html = picture_markup({"a <picture>", 1, 1, 2, {0, 255}});
  CHECK(html.find("alt=\"a &lt;picture&gt;\"") != std::string::npos);
  CHECK(html.find("base64,iVBORw0KGgo") != std::string::npos);
}

TEST_CASE("a picture for a terminal has two rows per line, from empty to full") {
  CHECK(picture_text({"", 1, 4, 3, {0, 255, 0, 0, 255, 0, 0, 0, 255, 0, 0, 255}}) == " @\n  @\n");
  CHECK(picture_text({"", 1, 2, 4, {0, 0, 255, 255, 0, 0, 255, 255}}, 2) == " @\n");
}

}  // namespace moe
