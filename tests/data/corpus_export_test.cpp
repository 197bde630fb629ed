#include "data/corpus_export.h"

#include <cstdio>
#include <memory>

#include "core/base/error.h"
#include "data/corpus_preparation.h"
#include "data/posix_file.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"

namespace moe {
namespace {

struct FileCloser {
  void operator()(std::FILE* file) const { std::fclose(file); }
};
using File = std::unique_ptr<std::FILE, FileCloser>;

std::string exported(const Corpus& corpus, const std::string& split, int64_t num_tokens, const std::string& path) {
  const File file(std::fopen(path.c_str(), "wb"));
  const int64_t bytes = export_text(corpus.split(split), corpus.tokenizer(), num_tokens, file.get());
  const std::string text = read_text_file(path);
  CHECK(static_cast<int64_t>(text.size()) == bytes);
  return text;
}

}  // namespace

TEST_CASE("the exported splits of a prepared text add up to the text") {
  const TemporaryFolder folder;
  std::string text;
  for (int i = 0; i < 100'000; ++i) text += "line " + std::to_string(i) + " of some text, \xc3\xa9 included\n";
  write_text_file(folder / "in.txt", text);
  PreparationOptions options;
  options.inputs = {folder / "in.txt"};
  options.output = folder / "corpus";
  prepare_corpus(options);
  const Corpus corpus = Corpus::open(folder / "corpus");
  std::string together;
  for (const char* split : {"train", "validation", "test"}) together += exported(corpus, split, 0, folder / "out");
  CHECK(together == text);
  CHECK(exported(corpus, "train", 11, folder / "out") == text.substr(0, 11));
  CHECK(exported(corpus, "train", 1 << 30, folder / "out") == exported(corpus, "train", 0, folder / "out"));
}

TEST_CASE("a full disk ends an export with an error") {
  const File full(std::fopen("/dev/full", "wb"));
  if (!full) return;
  const Corpus corpus = Corpus::synthetic({.train_tokens = 100, .validation_tokens = 10, .test_tokens = 10});
  CHECK_THROWS_AS(export_text(corpus.split("train"), corpus.tokenizer(), 0, full.get()), DataError);
}

}  // namespace moe
