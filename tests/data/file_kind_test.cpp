#include "data/file_kind.h"

#include "core/base/error.h"
#include "data/posix_file.h"
#include "tests/support/catch.h"
#include "tests/support/compressed.h"
#include "tests/support/temporary_folder.h"

namespace moe {
namespace {

using std::string_literals::operator""s;

std::string wide(std::string_view text, bool big_endian) {
  std::string result;
  for (const char c : text) result += big_endian ? "\0"s + c : c + "\0"s;
  return result;
}

}  // namespace

TEST_CASE("what is not text is refused by its content, with a hint") {
  const TemporaryFolder folder;
  const std::string words = "some words of a text\n", zeros(600, '\0');
  std::string many_words;
  for (int i = 0; i < 500; ++i) many_words += words;
  std::string tar = "file.txt" + zeros;
  tar.replace(257, 5, "ustar");
  struct Case {
    std::string bytes, message;
  };
  const std::vector<Case> cases = {
      {"PAR1\x15\x04" + words, "a Parquet file"},
      {"ARROW1\0\0"s + words, "an Arrow file"},
      {"\0\0\x08\x03\0\0\xEA\x60"s, "an IDX file"},
      {"PK\x03\x04\x14" + words, "a zip archive"},
      {tar, "a tar archive"},
      {"7z\xBC\xAF\x27\x1C\0"s, "a 7z archive"},
      {"BZh91AY&SY" + words, "bunzip2"},
      {"%PDF-1.7\n" + words, "pdftotext"},
      {"{\\rtf1 " + words, "plain text"},
      {"\x93NUMPY\x01\0v\0"s, "a NumPy array"},
      {"\x10\x01\0\0\0\0\0\0{\"weight\":"s, "a safetensors file"},
      {"\x7F"
       "ELF\x02\x01",
       "a program"},
      {"SQLite format 3\0"s, "an SQLite database"},
      {"\x88\xD8\x34\x01"s + zeros, "16-bit tokens"},
      {"\xA1\xD9\x34\x01"s + zeros, "32-bit tokens"},
      {"\xFF\xFE" + wide(words, false), "iconv"},
      {"\xFE\xFF" + wide(words, true), "iconv"},
      {wide(words, false), "UTF-16"},
      {wide(words, true), "UTF-16"},
      {words + "\0"s, "byte 21 is 0"},
      {words + "\x01\x02\x03", "3 of its first 24 bytes are control characters"},
      {compressed(compressed(words, "gzip"), "xz"), "compressed twice"},
      {compressed(tar, "zstd"), "a tar archive"},
      // Text at first: the first 64 KiB and more.
      {many_words + many_words + many_words + many_words + many_words + many_words + many_words +
           std::string(2000, '\x02'),
       "control characters"},
  };
  for (const Case& c : cases) {
    INFO(c.message);
    write_text_file(folder / "a.txt", c.bytes);
    CHECK_THROWS_AS(read_text_input(folder / "a.txt"), DataError);
    CHECK_THROWS_WITH(read_text_input(folder / "a.txt"),
                      Catch::Contains(folder / "a.txt") && Catch::Contains(c.message));
  }
}

TEST_CASE("text in any encoding that extends ASCII is text") {
  const TemporaryFolder folder;
  for (const char* const text : {"Gr\xF6\xDF"
                                 "e",
                                 "Größe", "\x93\xFA\x96\x7B\x8C\xEA", "\x1B[1mbold\x1B[0m\ttab\r\n\f\b",
                                 "PAR1 is the first word", "LZIP", "GIF89a is a format", "{\"a\": 1}", "a", ""}) {
    write_text_file(folder / "a", text);
    CHECK(read_text_input(folder / "a") == text);
  }
  write_text_file(folder / "a",
                  "\xEF\xBB\xBF"
                  "a\xEF\xBB\xBF");
  CHECK(read_text_input(folder / "a") == "a\xEF\xBB\xBF");
}

}  // namespace moe
