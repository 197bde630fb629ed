#include "data/document_index.h"

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "core/base/error.h"
#include "core/base/integer.h"
#include "data/corpus_manifest.h"
#include "data/corpus_preparation.h"
#include "tests/data/tiny_byte_pairs.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"

namespace moe {
namespace {

namespace fs = std::filesystem;

// Documents of 1 to 7 tokens. Returns the number of tokens.
int64_t write_index(const std::string& path, int64_t count, std::vector<Document>& documents) {
  DocumentIndexWriter writer(path);
  int64_t begin = 0;
  for (int64_t i = 0; i < count; ++i) {
    documents.push_back({begin, i * 3 / count});
    writer.add(documents.back());
    begin += 1 + i * i % 7;
  }
  writer.finish(begin);
  CHECK(writer.size() == count);
  return begin;
}

std::vector<Document> documents_of(const Split& split, int64_t begin, int64_t count) {
  std::vector<Document> found;
  split.visit_documents(begin, count, [&](int64_t first, int64_t source) {
    found.push_back({first, source});
    return true;
  });
  return found;
}

std::string text_of(const Corpus& corpus, const Split& split, int64_t begin, int64_t end) {
  std::vector<int32_t> tokens(as_index(end - begin));
  split.read(begin, end - begin, tokens.data());
  return corpus.tokenizer().decode(tokens);
}

// The texts of a split's documents.
std::vector<std::string> texts_of(const Corpus& corpus, const std::string& name) {
  const Split& split = corpus.split(name);
  std::vector<Document> documents = documents_of(split, 0, split.num_tokens());
  CHECK(std::ssize(documents) == split.num_documents());
  std::vector<std::string> texts;
  for (size_t i = 0; i < documents.size(); ++i) {
    const int64_t end = i + 1 < documents.size() ? documents[i + 1].begin : split.num_tokens();
    texts.push_back(text_of(corpus, split, documents[i].begin, end));
  }
  return texts;
}

}  // namespace

TEST_CASE("an index finds the document of every token") {
  const TemporaryFolder folder;
  for (const int64_t count : {1, 255, 256, 257, 1000}) {
    const std::string path = folder / std::to_string(count);
    std::vector<Document> documents;
    const int64_t tokens = write_index(path, count, documents);
    const DocumentIndex index(path, tokens, 3);
    REQUIRE(index.size() == count);
    int64_t expected = 0;
    for (int64_t token = 0; token < tokens; ++token) {
      while (expected + 1 < count && documents[as_index(expected + 1)].begin <= token) ++expected;
      REQUIRE(index.find(token) == expected);
    }
    for (int64_t i = 0; i < count; ++i) REQUIRE(index.at(i) == documents[as_index(i)]);
    std::vector<Document> seen;
    index.visit(count / 3, count, [&](const Document& document) {
      seen.push_back(document);
      return std::ssize(seen) < 300;
    });
    CHECK(std::ssize(seen) == std::min<int64_t>(300, count - count / 3));
    CHECK(seen.front() == documents[as_index(count / 3)]);
  }
}

TEST_CASE("documents without tokens are left out of an index") {
  const TemporaryFolder folder;
  DocumentIndexWriter writer(folder / "index");
  for (const Document& document : {Document{0, 0}, {0, 1}, {4, 1}, {4, 2}, {9, 2}}) writer.add(document);
  writer.finish(9);
  const DocumentIndex index(folder / "index", 9, 3);
  REQUIRE(index.size() == 2);
  CHECK(index.at(0) == Document{0, 1});
  CHECK(index.at(1) == Document{4, 2});
}

TEST_CASE("a damaged index is refused") {
  const TemporaryFolder folder;
  std::vector<Document> documents;
  const std::string path = folder / "index";
  const int64_t tokens = write_index(path, 40, documents);
  CHECK_THROWS_WITH(DocumentIndex(path, documents.back().begin, 3), Catch::Contains("document 39"));
  CHECK_THROWS_WITH(DocumentIndex(path, tokens, 2), Catch::Contains("source 2 of 2"));
  fs::resize_file(path, fs::file_size(path) - 8);
  CHECK_THROWS_WITH(DocumentIndex(path, tokens, 3), Catch::Contains("damaged"));
  fs::resize_file(path, 100);
  CHECK_THROWS_AS(DocumentIndex(path, tokens, 3), DataError);
  std::vector<Document> wrong{{0, 0}, {5, 0}, {5, 0}};
  std::vector<Document> right;
  write_index(path, 3, right);
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(1024);
  file.write(reinterpret_cast<const char*>(wrong.data()), 48);
  file.close();
  CHECK_THROWS_WITH(DocumentIndex(path, 100, 3), Catch::Contains("document 2 begins at token 5"));
}

TEST_CASE("a prepared corpus has the documents of its inputs, with their files") {
  const TemporaryFolder folder;
  std::string lines;
  std::vector<std::string> expected{"plain, without a line end"};
  for (int i = 0; i < 300; ++i) {
    const std::string text = std::string(as_index(i % 13 + 1), 'a') + " to be " + std::to_string(i);
    lines += "{\"text\": \"" + text + "\"}\n";
    expected.push_back(text + "\n");
  }
  // Longer than a document that is encoded as a whole.
  std::string long_document;
  while (long_document.size() < 400'000)
    long_document += "to be to be abc " + std::to_string(long_document.size()) + "\n";
  fs::create_directories(folder / "texts/inner");
  write_text_file(folder / "plain.txt", expected[0]);
  write_text_file(folder / "some.jsonl", lines);
  write_text_file(folder / "texts/b", "the second");
  write_text_file(folder / "texts/inner/c", long_document);
  write_text_file(folder / "texts/z", "the last");
  expected.insert(expected.end(), {"the second\n", long_document, "the last\n"});

  const auto prepare = [&](const std::string& tokenizer, const std::string& split, bool marks) {
    PreparationOptions options;
    options.inputs = {folder / "plain.txt", folder / "some.jsonl", folder / "texts"};
    options.output = folder / "corpus";
    options.tokenizer = tokenizer;
    options.split = split;
    options.force = true;
    options.end_of_document = marks;
    if (tokenizer == "bpe") options.vocabulary.vocabulary = write_tiny_byte_pairs(folder);
    prepare_corpus(options);
    Corpus corpus = Corpus::open(folder / "corpus");
    corpus.verify();
    return corpus;
  };
  for (const char* tokenizer : {"byte", "bpe"}) {
    INFO(tokenizer);
    const Corpus corpus = prepare(tokenizer, "1/0/0", false);
    CHECK(texts_of(corpus, "train") == expected);
    CHECK(corpus.sources() ==
          std::vector<std::string>{"plain.txt", "some.jsonl", "texts/b", "texts/inner/c", "texts/z"});
    const Split& split = corpus.split("train");
    CHECK(split.source_of(0) == 0);
    CHECK(split.source_of(split.num_tokens() - 1) == 4);
    CHECK(split.source_of(split.num_tokens() + 5) == 4);

    // A slice has the documents of its tokens.
    const std::vector<Document> all = documents_of(split, 0, split.num_tokens());
    const Split slice = split.slice("slice", all[7].begin + 2, all[11].begin - all[7].begin);
    CHECK(slice.num_documents() == 5);
    CHECK(documents_of(slice, 0, slice.num_tokens()).front() == Document{-2, 1});
    CHECK(documents_of(slice, 3, 1).front().begin == -2);
    CHECK(documents_of(slice, all[8].begin - all[7].begin - 2, 1).front().begin == all[8].begin - all[7].begin - 2);
  }
  // The mark ends complete documents only.
  const Corpus marked = prepare("bpe", "0.5/0.4/0.1", true);
  int64_t marks = 0, documents = 0;
  std::string together;
  for (const Split& split : marked.splits()) {
    std::vector<int32_t> tokens(as_index(split.num_tokens()));
    split.read(0, split.num_tokens(), tokens.data());
    marks += std::count(tokens.begin(), tokens.end(), *marked.tokenizer().end_of_document());
    documents += split.num_documents();
    CHECK(documents_of(split, 0, 1).front().begin == 0);
  }
  CHECK(marks == std::ssize(expected));
  CHECK(documents == std::ssize(expected) + 2);
}

TEST_CASE(
    "equal documents are left out if requested, and those of held-out splits that occur in training are counted") {
  const TemporaryFolder folder;
  std::string lines;
  std::vector<std::string> distinct;
  for (int i = 0; i < 400; ++i) {
    const std::string text = "text " + std::to_string(i % 149);
    lines += "{\"text\": \"" + text + "\"}\n";
    if (i < 149) distinct.push_back(text + "\n");
  }
  std::string long_text;
  while (long_text.size() < 3'000'000) long_text += "a long text " + std::to_string(long_text.size()) + "\n";
  write_text_file(folder / "a", lines);
  write_text_file(folder / "b", long_text);
  write_text_file(folder / "c", long_text);
  write_text_file(folder / "d", "the last\n");
  distinct.insert(distinct.end(), {long_text, "the last\n"});
  PreparationOptions options;
  options.inputs = {folder / "a", folder / "b", folder / "c", folder / "d"};
  options.output = folder / "corpus";
  options.split = "1/0/0";
  options.deduplicate = true;
  prepare_corpus(options);
  const Corpus corpus = Corpus::open(folder / "corpus");
  CHECK(texts_of(corpus, "train") == distinct);
  CHECK(corpus.split("train").source_of(0) == 0);
  CHECK(corpus.split("train").source_of(corpus.split("train").num_tokens() - 1) == 3);

  options.deduplicate = false;
  CHECK_THROWS_WITH(prepare_corpus(options), Catch::Contains("other inputs or options"));
  options.split = "", options.entries = "documents", options.hold_out = 10, options.force = true;
  options.inputs = {folder / "a"};
  prepare_corpus(options);
  const CorpusManifest with = CorpusManifest::read(folder / "corpus");
  CHECK_FALSE(with.splits[0].documents_in_training.has_value());
  CHECK(with.splits[1].num_documents == 40);
  CHECK(with.splits[1].documents_in_training == 36);
  options.deduplicate = true;
  prepare_corpus(options);
  const CorpusManifest without = CorpusManifest::read(folder / "corpus");
  CHECK(without.splits[1].documents_in_training == 0);
  CHECK(without.splits[0].num_documents + without.splits[1].num_documents + without.splits[2].num_documents == 149);
}

TEST_CASE("columns of CSV and TSV are documents where the column is named") {
  const TemporaryFolder folder;
  const auto prepare = [&](const std::string& content, const std::string& field, bool chosen = true) {
    write_text_file(folder / "table", content);
    PreparationOptions options;
    options.inputs = {folder / "table"};
    options.output = folder / "corpus";
    options.split = "1/0/0";
    options.force = true;
    options.field = {field, chosen};
    prepare_corpus(options);
    return texts_of(Corpus::open(folder / "corpus"), "train");
  };
  using Texts = std::vector<std::string>;
  const std::string csv = "id,body\r\n1,\"two\nlines, \"\"quoted\"\"\"\r\n2,\r\n3,last";
  CHECK(prepare(csv, "body") == Texts{"two\nlines, \"quoted\"\n", "last\n"});
  CHECK(prepare(csv, "1") == Texts{"id\n", "1\n", "2\n", "3\n"});
  CHECK(prepare("id\tbody\n1\ta \"b\n2\tc, d\n", "body") == Texts{"a \"b\n", "c, d\n"});
  CHECK(prepare("body\none\ntwo\n", "body") == Texts{"one\n", "two\n"});
  CHECK(prepare(csv, "text", false) == Texts{csv});
  CHECK_THROWS_WITH(prepare(csv, "text"), Catch::Contains("no column 'text'") && Catch::Contains("id, body"));
  CHECK_THROWS_WITH(prepare(csv, "3"), Catch::Contains("no column '3'"));
  CHECK_THROWS_WITH(prepare("a,b\n1,2\n3\n", "b"),
                    Catch::Contains("table:3: 1 columns; expected the text in column 2"));
  CHECK_THROWS_WITH(prepare("a,b\n1,\"2\n3\n", "b"), Catch::Contains("table:2: a quote is not closed"));
  // Records over the borders of blocks.
  std::string large = "n,text\n";
  Texts expected;
  for (int i = 0; i < 60'000; ++i) {
    expected.push_back(std::string(as_index(i % 50), 'x') + "\n" + std::to_string(i) + "\n");
    large += std::to_string(i) + ",\"" + expected.back().substr(0, expected.back().size() - 1) + "\"\n";
  }
  REQUIRE(large.size() > 2'000'000);
  CHECK(prepare(large, "text") == expected);
}

}  // namespace moe
