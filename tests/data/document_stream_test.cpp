#include <filesystem>

#include "core/base/error.h"
#include "core/base/integer.h"
#include "data/corpus_preparation.h"
#include "data/document_files.h"
#include "data/entry_format.h"
#include "data/posix_file.h"
#include "tests/support/catch.h"
#include "tests/support/compressed.h"
#include "tests/support/temporary_folder.h"

namespace moe {
namespace {

namespace fs = std::filesystem;

std::string text_of(const TextInput& input) {
  TextReader reader(input);
  std::string text;
  for (auto piece = reader.next_piece(1 << 30); !piece.empty(); piece = reader.next_piece(1 << 30)) text += piece;
  CHECK(std::ssize(text) == input.total_bytes());
  return text;
}

std::vector<std::string> documents_of(const TextInput& input) {
  std::vector<std::string> documents;
  TextReader reader(input);
  int64_t expected = 0;
  entry_formats().at("documents").read(reader, [&](std::string_view text, int64_t offset) {
    CHECK(offset == expected);
    expected += std::ssize(text);
    documents.emplace_back(text);
  });
  return documents;
}

std::string line(const std::string& text, const std::string& field = "text") {
  return "{\"id\": 1, \"" + field + "\": \"" + text + "\", \"meta\": [1, {}]}\n";
}

}  // namespace

TEST_CASE("the texts of JSON lines are documents") {
  const TemporaryFolder folder;
  const std::string lines =
      "\xEF\xBB\xBF\n" + line("one\\ntwo") + "\n" + line("") + line("gr\\u00f6\\u00dfer\\n") + line("the last");
  for (const std::string compression : {"", "gzip", "xz", "zstd"}) {
    INFO(compression);
    write_text_file(folder / "a", compressed(lines.substr(0, lines.size() - 1), compression));
    const TextInput input({folder / "a"});
    CHECK(text_of(input) == "one\ntwo\ngrößer\nthe last\n");
    CHECK(documents_of(input) == std::vector<std::string>{"one\ntwo\n", "größer\n", "the last\n"});
  }
  write_text_file(folder / "b", line("a text", "body"));
  CHECK(text_of(TextInput({folder / "b"}, {.field = {"body", true}})) == "a text\n");
  CHECK(text_of(TextInput({folder / "b"}, {.field = {""}})) == line("a text", "body"));
  CHECK_THROWS_WITH(TextInput({folder / "b"}), Catch::Contains("without a text called 'text' (its texts are: body)") &&
                                                   Catch::Contains("--field"));
}

TEST_CASE("JSON lines of any length are read, and a wrong one is named") {
  const TemporaryFolder folder;
  const std::string longer(3'000'000, 'x');
  for (const bool long_first : {true, false}) {
    const std::string first = long_first ? longer : "short", second = long_first ? "short" : longer;
    write_text_file(folder / "a", line(first) + line(second));
    CHECK(documents_of(TextInput({folder / "a"})) == std::vector<std::string>{first + "\n", second + "\n"});
  }
  for (const std::string& wrong :
       {std::string("not JSON\n"), std::string("[1]\n"), line("x", "other"), line("x").substr(4)}) {
    write_text_file(folder / "a", line("one") + "\n" + wrong + line("two"));
    CHECK_THROWS_WITH(TextInput({folder / "a"}), Catch::Contains(folder / "a:3: "));
  }
}

TEST_CASE("text that merely begins like JSON is text") {
  const TemporaryFolder folder;
  for (const std::string text :
       {"{\n  \"text\": \"a\"\n}\n", "{not JSON}\n", "[{\"text\": \"a\"}]\n", "\"text\"\n", "{\n"}) {
    write_text_file(folder / "a", text);
    CHECK(text_of(TextInput({folder / "a"})) == text);
  }
}

TEST_CASE("a byte order mark at the start of any file is skipped") {
  const TemporaryFolder folder;
  write_text_file(folder / "a", "\xEF\xBB\xBFone");
  write_text_file(folder / "b", "\xEF\xBB\xBF two");
  CHECK(text_of(TextInput({folder / "a", folder / "b"})) == "one two");
}

TEST_CASE("the files of a folder are documents, in the order of their names") {
  const TemporaryFolder folder;
  const std::string top = folder / "texts";
  fs::create_directories(top + "/b/.hidden");
  fs::create_directories(top + "/elsewhere");
  write_text_file(top + "/c", "C\xEF\xBB\xBF\nC");
  write_text_file(top + "/a.gz", compressed("A", "zstd"));
  write_text_file(top + "/b/2", "B2\n\n");
  write_text_file(top + "/b/1", line("B1") + line("B1b"));
  write_text_file(top + "/b/.hidden/x", "X");
  write_text_file(top + "/.x", "X");
  write_text_file(top + "/empty", "");
  fs::create_directory_symlink("..", top + "/b/loop");
  fs::create_symlink(folder / "outside", top + "/link");
  write_text_file(folder / "outside", "L");
  CHECK(document_files(top) == std::vector<std::string>{"a.gz", "b/1", "b/2", "c", "empty", "link"});
  const TextInput input({top});
  CHECK(documents_of(input) == std::vector<std::string>{"A\n", "B1\n", "B1b\n", "B2\n\n", "C\xEF\xBB\xBF\nC\n", "L\n"});
  CHECK(input.description().size() == 1);

  // A plain file beside it is a document when the entries are documents, and else only a part of the text.
  write_text_file(folder / "z", "no end");
  CHECK(documents_of(TextInput({folder / "z", top}, {.documents = true})).front() == "no end\n");
  CHECK(text_of(TextInput({folder / "z", folder / "z"})) == "no endno end");

  // Another name or content of one file is another input.
  write_text_file(folder / "outside", "M");
  CHECK_FALSE(TextInput({top}).description() == input.description());
  write_text_file(folder / "outside", "L");
  CHECK(TextInput({top}).description() == input.description());
}

TEST_CASE("a folder that is no input is refused") {
  const TemporaryFolder folder;
  fs::create_directories(folder / "texts/.git");
  CHECK_THROWS_WITH(TextInput({folder / "texts"}), Catch::Contains("holds no files"));
  fs::create_symlink("nowhere", folder / "texts/link");
  CHECK_THROWS_WITH(TextInput({folder / "texts"}), Catch::Contains("link"));
  fs::remove(folder / "texts/link");
  write_text_file(folder / "texts/a.txt", std::string("a\0b", 3));
  CHECK_THROWS_WITH(TextInput({folder / "texts"}), Catch::Contains("texts/a.txt is not text"));
  write_text_file(folder / "texts/a.txt", std::string(100, 'a'));
  prepare_corpus({{folder / "texts"}, folder / "c", "", "byte", "", "", 0, false});
  CHECK_THROWS_WITH(TextInput({folder / "c"}), Catch::Contains("is a prepared corpus"));
}

TEST_CASE("documents are held out, and end with their mark, whatever they are made from") {
  const TemporaryFolder folder;
  fs::create_directories(folder / "texts");
  std::string lines;
  for (int i = 10; i < 20; ++i) {
    const std::string text = "document " + std::to_string(i);
    write_text_file(folder / "texts/" + std::to_string(i), text);
    lines += line(text);
  }
  write_text_file(folder / "lines", lines);
  for (const char* from : {"texts", "lines"}) {
    const std::string output = folder / (std::string("from_") + from);
    prepare_corpus({{folder / from}, output, "", "byte", "", "documents", 5, false});
    const Corpus corpus = Corpus::open(output);
    std::vector<int32_t> tokens(as_index(corpus.split("validation").num_tokens()));
    corpus.split("validation").read(0, std::ssize(tokens), tokens.data());
    CHECK(corpus.tokenizer().decode(tokens) == "document 10\ndocument 15\n");
  }
}

TEST_CASE("how an input was read is part of what a corpus was made from") {
  const TemporaryFolder folder;
  write_text_file(folder / "a", line(std::string(100, 'a')));
  PreparationOptions options{{folder / "a"}, folder / "c", "", "byte", "", "", 0, false};
  CHECK(prepare_corpus(options));
  CHECK_FALSE(prepare_corpus(options));
  options.field = {""};
  CHECK_THROWS_WITH(prepare_corpus(options), Catch::Contains("other inputs or options"));
}

}  // namespace moe
