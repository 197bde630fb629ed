// GPT-2's files: encoder.json, vocab.bpe, and a text to encode.
#include <filesystem>

#include "core/base/json_text.h"
#include "data/tokenizers/byte_pair_files.h"
#include "tests/data/tiny_byte_pairs.h"
#include "tests/fuzz/fuzz_target.h"

namespace moe {

static void read_input(std::string_view input) {
  const auto files = parts(input, 3);
  const std::string folder = scratch_folder() + "/byte_pairs";
  std::filesystem::create_directories(folder);
  scratch_file("byte_pairs/encoder.json", files[0]);
  scratch_file("byte_pairs/vocab.bpe", files[1]);
  const BytePairTokenizer tokenizer(read_byte_pairs(folder));
  std::vector<int32_t> ids;
  tokenizer.encode(files[2], ids);
  require(tokenizer.decode(ids) == files[2], "a text is decoded as it was");
}

static std::vector<std::string> seeds() {
  const TemporaryFolder folder;
  const std::string path = write_tiny_byte_pairs(folder);
  return {joined(
      {file_content(path + "/encoder.json"), file_content(path + "/vocab.bpe"), "to be abc, 12 \xc3\xa9 can't  x\n"})};
}

static const FuzzTarget target{"byte_pair", read_input, seeds};

}  // namespace moe
