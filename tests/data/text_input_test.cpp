#include "data/text_input.h"

#include "core/base/error.h"
#include "data/entry_format.h"
#include "data/posix_file.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"

namespace moe {
namespace {

struct Entry {
  std::string text;
  int64_t offset;
};

std::vector<Entry> entries_of(const char* format, const TextInput& input) {
  std::vector<Entry> entries;
  TextReader reader(input);
  entry_formats().at(format).read(reader, [&](std::string_view text, int64_t offset) {
    entries.push_back({std::string(text), offset});
  });
  return entries;
}

}  // namespace

TEST_CASE("pieces add up to the text, end at words and stop at the limit") {
  const TemporaryFolder folder;
  std::string text;
  while (text.size() < 3'500'000) text += "word" + std::to_string(text.size()) + (text.size() % 5 == 0 ? "\n" : " ");
  write_text_file(folder / "a", text.substr(0, 1'234'567));
  write_text_file(folder / "empty", "");
  write_text_file(folder / "b", text.substr(1'234'567));
  const TextInput input({folder / "a", folder / "empty", folder / "b"});
  CHECK(input.total_bytes() == static_cast<int64_t>(text.size()));

  TextReader reader(input);
  std::string read;
  while (static_cast<int64_t>(read.size()) < 2'000'001) {
    CHECK(reader.offset() == static_cast<int64_t>(read.size()));
    const std::string_view piece = reader.next_piece(2'000'001 - static_cast<int64_t>(read.size()));
    REQUIRE_FALSE(piece.empty());
    read += piece;
    if (read.size() == 2'000'001) break;
    if (read.size() == 1'234'567) continue;  // a piece does not go on into the next file
    CHECK(text[read.size()] == '\n');
    CHECK((read.back() != '\n' && read.back() != ' '));
  }
  CHECK(read.size() == 2'000'001);
  while (true) {
    const std::string_view piece = reader.next_piece(1'000'000'000);
    if (piece.empty()) break;
    read += piece;
  }
  CHECK(read == text);
}

TEST_CASE("pieces are not cut within a run of blanks and line ends") {
  const TemporaryFolder folder;
  const std::string begin(1'000'000, 'x'), end(100'000, 'y');
  for (const std::string blanks : {" ", "\n", " \n", "\n\n\n", " \t\n  \r\n"}) {
    const std::string text = begin + blanks + end;
    write_text_file(folder / "a", text);
    const TextInput input({folder / "a"});
    TextReader reader(input);
    CHECK(reader.next_piece(1 << 30) == begin);
    CHECK(reader.next_piece(1 << 30) == blanks + end);
  }
  // Whole lines before words; a run at the start of the text is not its end.
  write_text_file(folder / "b", "\n" + begin + "\nword and" + end);
  const TextInput input({folder / "b"});
  TextReader reader(input);
  CHECK(reader.next_piece(1 << 30) == "\n" + begin);
}

TEST_CASE("text without blanks is still returned") {
  const TemporaryFolder folder;
  write_text_file(folder / "a", std::string(2'500'000, 'x'));
  const TextInput input({folder / "a"});
  TextReader reader(input);
  size_t total = 0;
  for (std::string_view piece = reader.next_piece(1 << 30); !piece.empty(); piece = reader.next_piece(1 << 30)) {
    total += piece.size();
  }
  CHECK(total == 2'500'000);
}

TEST_CASE("input that cannot be read is a data error") {
  const TemporaryFolder folder;
  write_text_file(folder / "empty", "");
  CHECK_THROWS_AS(TextInput({}), DataError);
  CHECK_THROWS_WITH(TextInput({folder / "empty"}), Catch::Contains("empty"));
  CHECK_THROWS_WITH(TextInput({folder / "absent"}), Catch::Contains("No such file"));
  CHECK_THROWS_WITH(TextInput({folder.path()}), Catch::Contains("empty"));
}

TEST_CASE("plain entries add up to the text") {
  const TemporaryFolder folder;
  const std::string text = "\none\ntwo\n\n \nthree\n\nfour";
  write_text_file(folder / "a", text);
  const TextInput input({folder / "a"});
  for (const char* format : {"lines", "paragraphs"}) {
    std::string joined;
    for (const Entry& entry : entries_of(format, input)) {
      CHECK(entry.offset == static_cast<int64_t>(joined.size()));
      joined += entry.text;
    }
    CHECK(joined == text);
  }
  CHECK(entries_of("lines", input).size() == 8);
  const auto paragraphs = entries_of("paragraphs", input);
  REQUIRE(paragraphs.size() == 4);
  CHECK(paragraphs[1].text == "one\ntwo\n\n \n");
  CHECK(paragraphs[3].text == "four");
}

}  // namespace moe
