// Files of token ids: ours and llm.c's.
#include "data/corpus.h"
#include "data/token_writer.h"
#include "tests/fuzz/fuzz_target.h"

namespace moe {

static void read_input(std::string_view input) {
  const std::string path = scratch_file("tokens.bin", input);
  TokenFile::is_one(path);
  TokenFile file(path);
  file.has_plain_header();
  file.payload_hash();
  std::vector<int32_t> tokens(static_cast<size_t>(file.num_tokens()));
  file.expect_vocabulary(1000);
  try {
    file.read(0, file.num_tokens(), tokens.data());
    for (const int32_t token : tokens) require(token >= 0 && token < 1000, "a token is of the vocabulary");
  } catch (const DataError&) {
  }
  const Corpus corpus = Corpus::open(path);
  for (const Split& split : corpus.splits()) require(split.num_tokens() <= file.num_tokens(), "a split is of the file");
  corpus.verify();
}

static std::string tokens_of(int64_t vocab_size) {
  const std::string path = scratch_folder() + "/written.bin";
  TokenWriter writer(path, vocab_size);
  const std::vector<int32_t> tokens = {1, 2, 3, 999, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21};
  writer.write(tokens);
  writer.finish();
  return file_content(path);
}

static std::vector<std::string> seeds() {
  return {tokens_of(1000), tokens_of(100000)};
}

static const FuzzTarget target{"token_file", read_input, seeds};

}  // namespace moe
