// The published formats of labelled texts, valid and damaged.
#include <filesystem>
#include <functional>
#include <map>
#include <set>

#include "data/texts/text_format.h"

#include "core/base/error.h"
#include "data/labelled_format.h"
#include "data/texts/clean.h"
#include "data/texts/csv.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_images.h"

using namespace moe;
using namespace moe::test;

static std::string message_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const DataError& error) {
    return error.what();
  }
  return "no DataError";
}
static bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST_CASE("trees of SST become sentences with their root's label") {
  TemporaryFolder folder;
  CHECK_FALSE(has_sst5_texts(folder.path()));
  write_bytes(folder / "trees_train.txt", "(3 (2 It) (4 (2 's) (4 lovely)))\r\n\n(0 (2 -LRB-) (1 (2 no) (2 -RRB-)))\n");
  write_bytes(folder / "trees_dev.txt", "(2 word)\n");
  CHECK(has_sst5_texts(folder.path()));
  const TextFiles files = read_sst5_texts(folder.path());
  REQUIRE(files.train.size() == 2);
  CHECK(files.train.text(0) == "It 's lovely");
  CHECK(files.train.label(0) == 3);
  CHECK(files.train.text(1) == "( no )");
  CHECK(files.train.label(1) == 0);
  CHECK(files.validation.text(0) == "word");
  CHECK(files.test.size() == 0);
  CHECK(files.classes.size() == 5);
  for (const char* broken : {"(5 (2 a) (2 b))", "(3 (2 a) (2 b)", "(3 (2 a)) x", "3 a", "(3 )", "(x a)", "()"}) {
    INFO(broken);
    write_bytes(folder / "trees_dev.txt", std::string("(2 word)\n") + broken + "\n");
    CHECK(has(message_of([&] { read_sst5_texts(folder.path()); }), "trees_dev.txt:2: "));
  }
}

TEST_CASE("SST-2 has its labels last") {
  TemporaryFolder folder;
  write_bytes(folder / "sst2_train.tsv", "sentence\tlabel\na\tb\t1\nclich\xc3\xa9s\t0");
  const TextFiles files = read_sst2_texts(folder.path());
  REQUIRE(files.train.size() == 2);
  CHECK(files.train.text(0) == "a\tb");
  CHECK(files.train.text(1) == "clich\xc3\xa9s");
  CHECK(files.train.label(1) == 0);
  write_bytes(folder / "sst2_test.tsv", "fine\t1\nfine\t2\n");
  CHECK(has(message_of([&] { read_sst2_texts(folder.path()); }), "sst2_test.tsv:2: the label is '2'; expected 0 to 1"));
  write_bytes(folder / "sst2_test.tsv", "no tab\n");
  CHECK(has(message_of([&] { read_sst2_texts(folder.path()); }), "sst2_test.tsv:1: no tab"));
}

TEST_CASE("IMDB has label, number, rating and review") {
  TemporaryFolder folder;
  write_bytes(folder / "train.tsv", "0\t17\t3\tBad.\tReally<br />bad.\n1\t0\t10\t\n");
  CHECK(has_imdb_texts(folder.path()));
  CHECK_FALSE(has_tsv_texts(folder.path()));
  const TextFiles files = read_imdb_texts(folder.path());
  REQUIRE(files.train.size() == 2);
  CHECK(files.train.text(0) == "Bad.\tReally<br />bad.");
  CHECK(files.train.text(1).empty());
  CHECK(files.train.label(1) == 1);
  write_bytes(folder / "test.tsv", "1\t0\t10\tGood\n1\t0\tGood\n");
  CHECK(has(message_of([&] { read_imdb_texts(folder.path()); }), "test.tsv:2: fewer than 4 fields"));
  write_bytes(folder / "test.tsv", "1\t0\t11\tGood\n");
  CHECK(has(message_of([&] { read_imdb_texts(folder.path()); }), "test.tsv:1: the rating is '11'; expected 0 to 10"));
}

TEST_CASE("CSV fields may be quoted and hold commas, quotes and line ends") {
  TemporaryFolder folder;
  const auto read = [&](const std::string& content) {
    write_bytes(folder / "a.csv", content);
    std::vector<std::vector<std::string>> records;
    std::vector<int64_t> lines;
    for_each_csv_record(folder / "a.csv", [&](const std::vector<std::string>& fields, int64_t line) {
      records.push_back(fields);
      lines.push_back(line);
    });
    return std::pair(records, lines);
  };
  const auto [records, lines] = read("a,b\r\n\"x, \"\"y\"\"\n\nz\",1\n\n\"\",\nlast,\"\"");
  using Records = std::vector<std::vector<std::string>>;
  CHECK(records == Records{{"a", "b"}, {"x, \"y\"\n\nz", "1"}, {"", ""}, {"last", ""}});
  CHECK(lines == std::vector<int64_t>{1, 2, 6, 7});
  CHECK(read("").first.empty());
  CHECK(has(message_of([&] { read("a,b\nc,\"d\n"); }), "a.csv:2: a quote is not closed"));
  CHECK(has(message_of([&] { read("a,\"b\"c\n"); }), "a.csv:1: text follows"));
}

TEST_CASE("BANKING77 takes the order of its classes from categories.json") {
  TemporaryFolder folder;
  write_bytes(folder / "train.csv", "text,category\nWhere is it?,lost\n\"Hello,\nyou\",greeting\n");
  CHECK_FALSE(has_banking77_texts(folder.path()));
  write_bytes(folder / "categories.json", "[\"greeting\", \"lost\"]");
  const TextFiles files = read_banking77_texts(folder.path());
  CHECK(files.classes == std::vector<std::string>{"greeting", "lost"});
  REQUIRE(files.train.size() == 2);
  CHECK(files.train.label(0) == 1);
  CHECK(files.train.text(1) == "Hello,\nyou");
  write_bytes(folder / "test.csv", "text,category\nWhat?,stolen\n");
  CHECK(has(message_of([&] { read_banking77_texts(folder.path()); }), "test.csv:2: the category 'stolen'"));
  write_bytes(folder / "test.csv", "a,b,c\n");
  CHECK(has(message_of([&] { read_banking77_texts(folder.path()); }), "test.csv:1: 3 fields"));
  write_bytes(folder / "categories.json", "{}");
  CHECK(has(message_of([&] { read_banking77_texts(folder.path()); }), "categories.json"));
}

TEST_CASE("custom texts: any labels, in TSV or JSON lines") {
  TemporaryFolder tsv, jsonl;
  write_bytes(tsv / "train.tsv", "spam\tbuy\tnow\nham\thi\nspam\t\n");
  write_bytes(tsv / "test.tsv", "ham\tyes\n");
  CHECK(has_tsv_texts(tsv.path()));
  const TextFiles files = read_tsv_texts(tsv.path());
  CHECK(files.classes == std::vector<std::string>{"ham", "spam"});
  CHECK(files.train.text(0) == "buy\tnow");
  CHECK(files.train.text(2).empty());
  CHECK(files.test.label(0) == 0);
  write_bytes(tsv / "validation.tsv", "ham\ta\neggs\tb\n");
  CHECK(has(message_of([&] { read_tsv_texts(tsv.path()); }), "validation.tsv:2: the label 'eggs'"));
  write_bytes(tsv / "train.tsv", "\tno label\n");
  CHECK(has(message_of([&] { read_tsv_texts(tsv.path()); }), "train.tsv:1: the label is empty"));

  write_bytes(jsonl / "train.jsonl", "{\"label\": 10, \"text\": \"a\\nb\"}\n{\"text\": \"c\", \"label\": 9}\n");
  const TextFiles numbers = read_jsonl_texts(jsonl.path());
  CHECK(numbers.classes == std::vector<std::string>{"9", "10"});
  CHECK(numbers.train.text(0) == "a\nb");
  CHECK(numbers.train.label(0) == 1);
  for (const char* broken :
       {"{\"label\": 9}", "{\"label\": 1.5, \"text\": \"\"}", "[1]", "{\"label\": 9, \"text\": \"a"}) {
    INFO(broken);
    write_bytes(jsonl / "test.jsonl", broken);
    CHECK(has(message_of([&] { read_jsonl_texts(jsonl.path()); }), "test.jsonl:1: "));
  }
  CHECK(has(message_of([&] { read_jsonl_texts(tsv.path()); }), "absent or empty"));
}

TEST_CASE("a byte order mark is no part of a label or a text") {
  const std::string mark = "\xEF\xBB\xBF";
  TemporaryFolder tsv, jsonl, sst2, sst5, imdb, banking;
  write_bytes(tsv / "train.tsv", mark + "spam\tbuy\nham\thi\nspam\tnow\n");
  CHECK(read_tsv_texts(tsv.path()).classes == std::vector<std::string>{"ham", "spam"});
  write_bytes(jsonl / "train.jsonl", mark + "{\"label\": \"a\", \"text\": \"b\"}\n");
  CHECK(read_jsonl_texts(jsonl.path()).train.size() == 1);
  write_bytes(sst2 / "sst2_train.tsv", mark + "sentence\tlabel\ngood\t1\n");
  CHECK(read_sst2_texts(sst2.path()).train.size() == 1);
  write_bytes(sst5 / "trees_train.txt", mark + "(3 good)\n");
  CHECK(read_sst5_texts(sst5.path()).train.size() == 1);
  write_bytes(imdb / "train.tsv", mark + "1\t17\t9\tgood\n");
  CHECK(has_imdb_texts(imdb.path()));
  CHECK(read_imdb_texts(imdb.path()).train.size() == 1);
  write_bytes(banking / "categories.json", mark + "[\"a\"]");
  write_bytes(banking / "train.csv", mark + "text,category\n\"x\",a\n");
  CHECK(read_banking77_texts(banking.path()).train.size() == 1);
}

TEST_CASE("a folder's format is detected, unless there are two") {
  TemporaryFolder folder;
  DataConfig config;
  config.path = folder / "nowhere";
  CHECK_THROWS_AS(labelled_format(config), DataError);
  config.path = folder.path();
  CHECK_THROWS_AS(labelled_format(config), DataError);
  write_bytes(folder / "sst2_train.tsv", "a\t1\n");
  CHECK(labelled_format(config).name == std::string("sst2"));
  write_bytes(folder / "trees_train.txt", "(2 a)\n");
  CHECK_THROWS_AS(labelled_format(config), UsageError);
  config.labelled.format = "sst5";
  CHECK(labelled_format(config).name == std::string("sst5"));
}

// A folder of each format, as small as is_in() needs it. A new format fails the test below until it is added.
static const std::map<std::string, std::map<std::string, std::string>>& format_files() {
  static const std::map<std::string, std::map<std::string, std::string>> files = {
      {"idx", {{"train-images-idx3-ubyte", ""}}},
      {"cifar10", {{"data_batch_1.bin", ""}}},
      {"sound_folders", {{"yes/1.wav", ""}, {"no/2.FLAC", ""}, {"testing_list.txt", "yes/1.wav\n"}}},
      {"sst2", {{"sst2_train.tsv", "a\t1\n"}, {"sst2_dev.tsv", "a\t1\n"}, {"sst2_test.tsv", "a\t1\n"}}},
      {"sst5", {{"trees_train.txt", "(2 a)\n"}, {"trees_dev.txt", "(2 a)\n"}, {"trees_test.txt", "(2 a)\n"}}},
      {"imdb", {{"train.tsv", "0\t17\t3\tBad.\n"}, {"test.tsv", "0\t17\t3\tBad.\n"}}},
      {"banking77", {{"train.csv", "text,category\na,b\n"}, {"test.csv", "a,b\n"}, {"categories.json", "[\"b\"]"}}},
      {"tsv", {{"train.tsv", "spam\tbuy\n"}, {"validation.tsv", "spam\tbuy\n"}, {"test.tsv", "spam\tbuy\n"}}},
      {"jsonl", {{"train.jsonl", "{}\n"}, {"validation.jsonl", "{}\n"}, {"test.jsonl", "{}\n"}}},
  };
  return files;
}

TEST_CASE("every format is recognised in its own folders alone") {
  for (const LabelledFormat& written : labelled_formats()) {
    INFO("a folder of " << written.name);
    REQUIRE(format_files().contains(written.name));
    TemporaryFolder folder;
    for (const auto& [name, content] : format_files().at(written.name)) {
      std::filesystem::create_directories(std::filesystem::path(folder / name).parent_path());
      write_bytes(folder / name, content);
    }
    for (const LabelledFormat& asked : labelled_formats()) {
      INFO(asked.name);
      CHECK(asked.is_in(folder.path()) == (asked.name == std::string(written.name)));
    }
    DataConfig config;
    config.path = folder.path();
    CHECK(labelled_format(config).name == std::string(written.name));
  }
}

TEST_CASE("no two formats of labelled samples have the same name, not even of two kinds") {
  std::set<std::string> names;
  for (const LabelledFormat& format : labelled_formats()) {
    INFO(format.name);
    CHECK(names.insert(format.name).second);
  }
}

TEST_CASE("the clean-up of text8 leaves letters and single blanks") {
  CHECK(clean_like_text8("It's 20 caf\xc3\xa9s -- OK?") == "it s two zero caf s ok");
  CHECK(clean_like_text8(" \t7\n") == "seven");
  CHECK(clean_like_text8("?!").empty());
  CHECK(clean_like_text8("").empty());
}
