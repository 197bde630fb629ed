#include "data/corpus_preparation.h"

#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <future>

#include "core/base/json_text.h"
#include "data/corpus_folder_writer.h"
#include "data/corpus_info.h"
#include "data/corpus_manifest.h"
#include "data/evaluation_streams.h"
#include "data/evaluation_windows.h"
#include "data/posix_file.h"
#include "data/tokenizers/external.h"
#include "tests/data/tiny_byte_pairs.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"

namespace moe {
namespace {

namespace fs = std::filesystem;

std::string numbered_text(int lines) {
  std::string text;
  for (int i = 0; i < lines; ++i) text += "line " + std::to_string(i) + " of the text\n";
  return text;
}

std::string decode(const Corpus& corpus, const char* split) {
  std::vector<int32_t> tokens(static_cast<size_t>(corpus.split(split).num_tokens()));
  corpus.split(split).read(0, corpus.split(split).num_tokens(), tokens.data());
  return corpus.tokenizer().decode(tokens);
}

void flip_byte(const std::string& path, int64_t offset) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(offset);
  const char byte = static_cast<char>(file.get() ^ 1);
  file.seekp(offset);
  file.put(byte);
}

}  // namespace

TEST_CASE("the splits of a prepared corpus add up to the text") {
  const TemporaryFolder folder;
  const std::string text = numbered_text(2000);
  write_text_file(folder / "a.txt", text.substr(0, 777));
  write_text_file(folder / "b.txt", text.substr(777));
  for (const char* tokenizer : {"byte", "char"}) {
    const std::string output = folder / std::string(tokenizer);
    CHECK(prepare_corpus({{folder / "a.txt", folder / "b.txt"}, output, "", tokenizer, "", "", 0, false}));
    const Corpus corpus = Corpus::open(output);
    CHECK(corpus.name() == tokenizer);
    CHECK(decode(corpus, "train") + decode(corpus, "validation") + decode(corpus, "test") == text);
    CHECK(corpus.split("validation").raw_bytes() == static_cast<int64_t>(text.size() / 20));
    corpus.verify();
    CHECK_THAT(describe_corpus(corpus), Catch::Contains("line 0 of the text") && Catch::Contains(tokenizer));
    CHECK_FALSE(fs::exists(output + ".partial"));
  }
}

TEST_CASE("the byte lengths of all tokens are known for every tokenizer") {
  const TemporaryFolder folder;
  std::string text;
  while (text.size() < 1'200'000) text += numbered_text(7) + " \t\n\n  ";  // more than one piece per split
  write_text_file(folder / "a.txt", text);
  for (const char* tokenizer : {"byte", "word"}) {
    INFO(tokenizer);
    const std::string output = folder / std::string(tokenizer);
    prepare_corpus({{folder / "a.txt"}, output, "", tokenizer, "", "", 0, false});
    const Corpus corpus = Corpus::open(output);
    corpus.verify();
    CHECK(fs::exists(output + "/test.lengths") == (tokenizer == std::string("word")));
    const Split& train = corpus.split("train");
    const int64_t all = train.num_tokens();
    // No token includes the blanks after the last word.
    CHECK(*train.raw_bytes() - *train.raw_bytes(0, all) < 4);
    CHECK(*train.raw_bytes(0, 1000) + *train.raw_bytes(1000, all - 1000) == *train.raw_bytes(0, all));
    CHECK(train.slice("part", 1000, 77).raw_bytes(7, 11) == train.raw_bytes(1007, 11));
    CHECK(EvaluationWindows(train, 64, 64, 500).raw_bytes() == train.raw_bytes(1, 499));
    CHECK(EvaluationStreams(train, 64, 3, 128, 500).raw_bytes() == train.raw_bytes(1, 499));
    const std::string begin = text.substr(0, static_cast<size_t>(*train.raw_bytes(0, 100)));
    std::vector<int32_t> ids, first(100);
    corpus.tokenizer().encode(begin, ids);
    train.read(0, 100, first.data());
    CHECK(ids == first);
  }
  fs::resize_file(folder / "word/test.lengths", 1024);
  CHECK_THROWS_AS(Corpus::open(folder / "word"), DataError);
}

TEST_CASE("tokens that the tokenizer made unknown are counted, those that the text spells <unk> are not") {
  const TemporaryFolder folder;
  std::string text;
  for (int i = 0; i < 3000; ++i) text += i % 90 == 7 ? "once" + std::to_string(i) + " <unk> often\n" : "often <unk>\n";
  write_text_file(folder / "a.txt", text);
  PreparationOptions options{{folder / "a.txt"}, folder / "c", "", "word", "", "", 0, false};
  options.vocabulary.min_count = 2;
  prepare_corpus(options);
  const Corpus corpus = Corpus::open(folder / "c");
  corpus.verify();
  for (const Split& split : corpus.splits()) {
    INFO(split.name());
    // Computed from the tokens and the text again.
    const int64_t all = split.num_tokens();
    std::vector<UnknownText> until{{}};
    const int64_t first_line = split.name() == "train" ? 0 : -1;
    REQUIRE(split.unknown().has_value());
    CHECK(split.unknown()->tokens > 0);
    CHECK(split.unknown() == split.slice("all", 0, all).unknown());
    CHECK(*split.unknown(0, 100) == split.slice("part", 0, 100).unknown());
    if (first_line < 0) continue;
    int64_t line = 0;
    for (int64_t i = 0; i < 2000; ++i) {
      const std::string word = "once" + std::to_string(line);
      UnknownText next = until.back();
      const bool begins_line = i == 0 || split.at(i - 1) == 1;
      if (begins_line && line % 90 == 7) next.tokens += 1, next.bytes += std::ssize(word);
      line += split.at(i) == 1;
      until.push_back(next);
    }
    for (const auto& [begin, end] : {std::pair{0, 2000}, {7, 26}, {21, 23}, {30, 31}, {14, 1999}, {100, 100}}) {
      const UnknownText found = *split.slice("a", 5, 1995).unknown(std::max(begin - 5, 0), end - std::max(begin, 5));
      CHECK(found.tokens == until[as_index(end)].tokens - until[as_index(std::max(begin, 5))].tokens);
      CHECK(found.bytes == until[as_index(end)].bytes - until[as_index(std::max(begin, 5))].bytes);
    }
    CHECK(EvaluationWindows(split, 64, 64, 500).unknown() == split.unknown(1, 499));
    CHECK(EvaluationStreams(split, 64, 3, 128, 500).unknown() == split.unknown(1, 499));
  }
  CHECK(corpus.doubts().empty());
  CHECK_THAT(describe_corpus(corpus), Catch::Contains("unknown tokens ("));

  // No text is unknown to a tokenizer of bytes, and all of it is counted.
  options.output = folder / "b", options.tokenizer = "byte", options.vocabulary = {};
  prepare_corpus(options);
  CHECK(Corpus::open(folder / "b").split("train").unknown() == UnknownText{});
  // Without text there is nothing to count.
  prepare_synthetic({8, 2, 0.3, 5, 10'000, 500, 0}, folder / "s", false);
  CHECK_FALSE(Corpus::open(folder / "s").split("train").unknown().has_value());
  CHECK(Corpus::open(folder / "s").doubts().empty());
}

TEST_CASE("more unknown text than one in a hundred tokens, or text in which it was not counted, is doubtful") {
  const TemporaryFolder folder;
  write_text_file(folder / "a.txt", numbered_text(1000));
  PreparationOptions options{{folder / "a.txt"}, folder / "c", "", "word", "", "", 0, false};
  prepare_corpus(options);
  const std::vector<std::string> doubts = Corpus::open(folder / "c").doubts();
  REQUIRE(doubts.size() == 1);
  CHECK_THAT(doubts[0], Catch::Contains("% of split validation") && Catch::Contains("% of split test") &&
                            !Catch::Contains("split train"));

  CorpusManifest older = CorpusManifest::read(folder / "c");
  for (CorpusManifest::Split& split : older.splits) split.unknown.reset();
  older.write(folder / "c");
  const Corpus corpus = Corpus::open(folder / "c");
  CHECK_FALSE(corpus.split("test").unknown().has_value());
  REQUIRE(corpus.doubts().size() == 1);
  CHECK_THAT(corpus.doubts()[0], Catch::Contains("before unknown tokens were counted"));
}

#if MOE_HAS_PCRE2
TEST_CASE("documents end with the tokenizer's end-of-document token if requested") {
  const TemporaryFolder folder;
  write_text_file(folder / "a.txt", numbered_text(10));
  PreparationOptions options{{folder / "a.txt"}, folder / "c", "", "bpe", "", "lines", 5, false};
  options.vocabulary.vocabulary = write_tiny_byte_pairs(folder);
  options.end_of_document = true;
  prepare_corpus(options);
  const Corpus corpus = Corpus::open(folder / "c");
  const Split& test = corpus.split("test");
  CHECK(decode(corpus, "test") == "line 1 of the text\nline 6 of the text\n");
  CHECK(test.at(test.num_tokens() - 1) == corpus.tokenizer().end_of_document());
  CHECK(test.num_tokens() == 2 * (1 + 19));
  CHECK(test.raw_bytes(0, test.num_tokens()) == test.raw_bytes());
  CHECK_FALSE(prepare_corpus(options));

  // Another vocabulary gives another corpus.
  const std::string merges = options.vocabulary.vocabulary + "/vocab.bpe";
  write_text_file(merges, "t o\n");
  CHECK_THROWS_WITH(prepare_corpus(options), Catch::Contains("other inputs or options"));
  options.output = folder / "d";
  options.entries = "", options.hold_out = 0;
  CHECK(prepare_corpus(options));  // one document
  options.force = true, options.entries = "lines", options.tokenizer = "byte", options.vocabulary = {};
  CHECK_THROWS_WITH(prepare_corpus(options), Catch::Contains("'byte' has no end-of-document token"));
}
#endif

TEST_CASE("held-out entries go to validation and test") {
  const TemporaryFolder folder;
  write_text_file(folder / "a.txt", numbered_text(10));
  prepare_corpus({{folder / "a.txt"}, folder / "c", "ten", "byte", "", "lines", 5, false});
  const Corpus corpus = Corpus::open(folder / "c");
  CHECK(corpus.name() == "ten");
  CHECK(decode(corpus, "validation") == "line 0 of the text\nline 5 of the text\n");
  CHECK(decode(corpus, "test") == "line 1 of the text\nline 6 of the text\n");
  CHECK_THROWS_WITH(prepare_corpus({{folder / "a.txt"}, folder / "d", "", "byte", "", "paragraphs", 5, false}),
                    Catch::Contains("too few entries"));
  CHECK_FALSE(fs::exists(folder / "d.partial"));
}

TEST_CASE("a prepared corpus is kept, refused or replaced") {
  const TemporaryFolder folder;
  write_text_file(folder / "a.txt", numbered_text(100));
  PreparationOptions options{{folder / "a.txt"}, folder / "c/", "", "byte", "", "", 0, false};
  CHECK(prepare_corpus(options));
  const auto written = fs::last_write_time(folder / "c/train.bin");
  CHECK_FALSE(prepare_corpus(options));
  CHECK(fs::last_write_time(folder / "c/train.bin") == written);

  options.tokenizer = "char";
  CHECK_THROWS_WITH(prepare_corpus(options), Catch::Contains("--force"));
  options.force = true;
  CHECK(prepare_corpus(options));
  CHECK(Corpus::open(folder / "c").tokenizer().name() == "char");
  CHECK_FALSE(fs::exists(folder / "c.replaced"));

  options.force = false;
  flip_byte(folder / "a.txt", 50);
  CHECK_THROWS_AS(prepare_corpus(options), DataError);
  flip_byte(folder / "a.txt", 50);
  fs::remove(folder / "c/test.bin");
  CHECK_THROWS_WITH(prepare_corpus(options), Catch::Contains("missing"));

  options.force = true;
  write_text_file(folder / "c/notes.md", "mine");
  CHECK_THROWS_WITH(prepare_corpus(options), Catch::Contains("notes.md"));
  CHECK(read_text_file(folder / "c/notes.md") == "mine");
}

TEST_CASE("a folder or file that is not a prepared corpus is never changed") {
  const TemporaryFolder folder;
  write_text_file(folder / "a.txt", numbered_text(100));
  fs::create_directories(folder / "home");
  write_text_file(folder / "home/thesis.txt", "years of work");
  for (const bool force : {false, true}) {
    CHECK_THROWS_AS(prepare_corpus({{folder / "a.txt"}, folder / "home", "", "byte", "", "", 0, force}), DataError);
    CHECK_THROWS_AS(prepare_corpus({{folder / "a.txt"}, folder / "a.txt", "", "byte", "", "", 0, force}), DataError);
  }
  CHECK(read_text_file(folder / "home/thesis.txt") == "years of work");
}

TEST_CASE("text that cannot be prepared is refused") {
  const TemporaryFolder folder;
  const std::string output = folder / "c";
  write_text_file(folder / "tiny.txt", "abc");
  write_text_file(folder / "late.txt", std::string(95, 'a') + "bbbbb");
  CHECK_THROWS_AS(prepare_corpus({{folder / "tiny.txt"}, output, "", "byte", "", "", 0, false}), DataError);
  CHECK_THROWS_AS(prepare_corpus({{folder / "absent.txt"}, output, "", "byte", "", "", 0, false}), DataError);
  CHECK_THROWS_WITH(prepare_corpus({{folder / "late.txt"}, output, "", "char", "", "", 0, false}),
                    Catch::Contains("0x62 'b' at offset 95") && Catch::Contains("late.txt"));
  CHECK_THROWS_AS(prepare_corpus({{folder / "late.txt"}, output, "", "klingon", "", "", 0, false}), UsageError);
  CHECK_THROWS_AS(prepare_corpus({{folder / "late.txt"}, output, "", "external", "", "", 0, false}), UsageError);
  CHECK_THROWS_AS(prepare_corpus({{folder / "late.txt"}, output, "", "byte", "90/5/5", "lines", 0, false}), UsageError);
  CHECK_THROWS_AS(prepare_corpus({{folder / "late.txt"}, "", "", "byte", "", "", 0, false}), UsageError);
  write_text_file(folder / "blanks.txt", std::string(1000, ' '));
  CHECK_THROWS_WITH(prepare_corpus({{folder / "blanks.txt"}, output, "", "word", "", "", 0, false}),
                    Catch::Contains("no tokens"));
  CHECK_FALSE(fs::exists(output));
  CHECK_FALSE(fs::exists(output + ".partial"));
}

TEST_CASE("a changed byte in any file of a prepared corpus is noticed, and the file named") {
  const TemporaryFolder folder;
  write_text_file(folder / "a.txt", numbered_text(1000));
  PreparationOptions options{{folder / "a.txt"}, folder / "c", "", "word", "", "", 0, false};
  options.vocabulary.min_count = 2;
  prepare_corpus(options);
  std::vector<std::string> files;
  for (const VerifiedFile& file : Corpus::open(folder / "c").verify()) {
    CHECK(file.hashed);
    files.push_back(file.path);
  }
  CHECK(std::ssize(files) == std::distance(fs::directory_iterator(folder / "c"), fs::directory_iterator()));
  CHECK(files.size() == 13);  // corpus.json, and tokens, lengths, unknown text and documents of three splits
  for (const std::string& file : files) {
    const auto bytes = static_cast<int64_t>(fs::file_size(file));
    for (const int64_t offset : {int64_t{2}, int64_t{500}, bytes / 2, bytes - 3}) {
      INFO(file << ", byte " << offset);
      const std::string before = read_text_file(file);
      flip_byte(file, offset);
      std::string message = "no error";
      try {
        Corpus::open(folder / "c").verify();
      } catch (const Error& error) {
        message = error.what();
      }
      CHECK_THAT(message, Catch::Contains(file));
      write_text_file(file, before);
    }
  }
  flip_byte(files[1], kTokenHeaderBytes + 100);
  flip_byte(files[9], kTokenHeaderBytes + 100);
  CHECK_THROWS_AS(Corpus::open(folder / "c").verify(), CheckpointError);
  CHECK_THROWS_WITH(Corpus::open(folder / "c").verify(), Catch::Contains(files[1]) && Catch::Contains(files[9]));
}

TEST_CASE("files without a recorded hash are read, and said to have none") {
  const TemporaryFolder folder;
  write_text_file(folder / "a.txt", numbered_text(100));
  prepare_corpus({{folder / "a.txt"}, folder / "c", "", "byte", "", "", 0, false});
  // A description of an earlier version.
  Json json = parse_json(read_text_file(folder / "c/corpus.json"));
  json.erase("xxh64");
  write_text_file(folder / "c/corpus.json", json_text(json, 2));
  const std::vector<VerifiedFile> files = Corpus::open(folder / "c").verify();
  REQUIRE(files.size() == 7);
  CHECK_FALSE(files[0].hashed);
  CHECK(files[1].hashed);
  for (const VerifiedFile& file : Corpus::open(folder / "c/train.bin", {.vocab_size = 256}).verify())
    CHECK_FALSE(file.hashed);
  CHECK_THROWS_AS(Corpus::open(folder / "c/train.bin", {.vocab_size = 50}).verify(), DataError);
}

TEST_CASE("of several preparations of one output one makes it, and the others find it there") {
  const TemporaryFolder folder;
  write_text_file(folder / "a.txt", numbered_text(20'000));
  constexpr size_t kPreparations = 6;
  std::array<std::future<bool>, kPreparations> made;
  for (auto& result : made) {
    result = std::async(std::launch::async, [&] {
      return prepare_corpus({{folder / "a.txt"}, folder / "c", "", "word", "", "", 0, false});
    });
  }
  int64_t makers = 0;
  for (auto& result : made) makers += result.get();
  CHECK(makers == 1);
  Corpus::open(folder / "c").verify();
  CHECK(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator()) == 2);  // no lock is left
  // Nothing is written where a corpus is there, not even a lock's file that could not be removed.
  CHECK_FALSE(prepare_corpus({{folder / "a.txt"}, folder / "c", "", "word", "", "", 0, false}));
}

TEST_CASE("the lock of an output without the file system's locks is the folder in which it is collected") {
  const TemporaryFolder folder;
  const auto no_locks = [](int, bool) { return ENOLCK; };
  const std::string output = folder / "c", temporary = folder / "c.partial";
  {
    const OutputLock lock(output, temporary, no_locks);
    CHECK(fs::exists(temporary));
    CHECK_THROWS_AS(OutputLock(output, temporary, no_locks), DataError);
    CHECK_THROWS_WITH(OutputLock(output, temporary, no_locks), Catch::Contains("by another process"));
    CHECK(fs::exists(temporary));
  }
  CHECK(fs::is_empty(folder.path()));
  // What was left by a process that ended is no lock: nothing changes in it any more.
  fs::create_directories(temporary);
  write_text_file(temporary + "/train.bin.partial", "");
  CHECK_THROWS_AS(OutputLock(output, temporary, no_locks), DataError);
  const auto past = fs::file_time_type::clock::now() - std::chrono::minutes(2);
  fs::last_write_time(temporary + "/train.bin.partial", past);
  CHECK_THROWS_AS(OutputLock(output, temporary, no_locks), DataError);
  fs::last_write_time(temporary, past);
  const OutputLock lock(output, temporary, no_locks);
}

TEST_CASE("the preview of a text is one short line") {
  const TemporaryFolder folder;
  for (const std::string& text :
       {std::string(50'000, 'x'), numbered_text(5000), std::string(5000, '\xE4'), std::string(9000, '\t')}) {
    write_text_file(folder / "a.txt", text);
    for (const char* tokenizer : {"byte", "word"}) {
      if (text[0] == '\t' && tokenizer == std::string("word")) continue;  // no words
      prepare_corpus({{folder / "a.txt"}, folder / "c", "", tokenizer, "90/5/5", "", 0, true});
      const std::string all = describe_corpus(Corpus::open(folder / "c"));
      const size_t begin = all.find("begins:\n") + 8;
      CHECK(all.find('\n', begin) == all.size() - 1);
      CHECK(all.size() - begin <= 201);
    }
  }
  std::string accents;
  for (int i = 0; i < 1000; ++i) accents += "é";
  write_text_file(folder / "a.txt", accents + "\n");
  prepare_corpus({{folder / "a.txt"}, folder / "c", "", "byte", "", "", 0, true});
  CHECK_THAT(describe_corpus(Corpus::open(folder / "c")), Catch::Contains("ééé") && !Catch::Contains("\\x"));
}

TEST_CASE("damage to a prepared corpus is detected when it is opened") {
  const TemporaryFolder folder;
  write_text_file(folder / "a.txt", numbered_text(100));
  prepare_corpus({{folder / "a.txt"}, folder / "c", "", "byte", "", "", 0, false});
  fs::copy_file(folder / "c/test.bin", folder / "c/train.bin", fs::copy_options::overwrite_existing);
  CHECK_THROWS_WITH(Corpus::open(folder / "c"), Catch::Contains("by corpus.json"));
  fs::remove(folder / "c/train.bin");
  CHECK_THROWS_AS(Corpus::open(folder / "c"), DataError);
}

TEST_CASE("a full disk leaves no partial corpus") {
  const TemporaryFolder folder;
  write_text_file(folder / "a.txt", numbered_text(5000));
  rlimit before = {};
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit small = before;
  small.rlim_cur = 50'000;
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &small) == 0);
  CHECK_THROWS_AS(prepare_corpus({{folder / "a.txt"}, folder / "c", "", "byte", "", "", 0, false}), DataError);
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  CHECK_FALSE(fs::exists(folder / "c"));
  CHECK_FALSE(fs::exists(folder / "c.partial"));
}

TEST_CASE("a synthetic corpus is the same from a folder and in memory") {
  const TemporaryFolder folder;
  const SyntheticConfig config{8, 2, 0.3, 5, 10'000, 500, 0};
  CHECK(prepare_synthetic(config, folder / "s", false));
  CHECK_FALSE(prepare_synthetic(config, folder / "s", false));
  const Corpus stored = Corpus::open(folder / "s");
  const Corpus made = Corpus::synthetic(config);
  CHECK(stored.split("train").content_hash() == made.split("train").content_hash());
  CHECK(stored.split("validation").content_hash() == made.split("validation").content_hash());
  CHECK_FALSE(stored.has_split("test"));
  CHECK(stored.entropy_rate() == made.entropy_rate());
  CHECK(stored.vocab_size() == 8);
  // Neither is made from text, so neither has byte lengths: losses are per token.
  for (const Corpus* corpus : {&stored, &made}) {
    CHECK_FALSE(corpus->split("train").raw_bytes(0, 100).has_value());
    CHECK_FALSE(corpus->split("train").bytes_per_token().has_value());
  }
}

TEST_CASE("the lengths of 0 in older synthetic corpora do not count as bytes of text") {
  const TemporaryFolder folder;
  CorpusFolderWriter writer(folder / "s", {{"synthetic", "older"}}, false);
  writer.begin(std::make_unique<ExternalTokenizer>(8));
  writer.write(0, std::vector<int32_t>(100, 3));
  writer.finish("synthetic", {}, 1.0);
  REQUIRE(fs::exists(folder / "s/train.lengths"));
  const Corpus corpus = Corpus::open(folder / "s");
  CHECK_FALSE(corpus.split("train").raw_bytes(0, 100).has_value());
  CHECK_FALSE(corpus.split("train").bytes_per_token().has_value());
  corpus.verify();
}

}  // namespace moe
