// Tokenizers that are made from a text; the same text is encoded and decoded.
#include "data/tokenizer.h"
#include "tests/fuzz/fuzz_target.h"

namespace moe {

static void read_input(std::string_view input) {
  const TrainingText text = [&](const TextVisitor& visit) { visit(input); };
  for (const char* name : {"byte", "char", "word"}) {
    const auto tokenizer = tokenizers().at(name).make(text, {});
    std::vector<int32_t> ids;
    if (tokenizer->bytes_by_id()) {
      tokenizer->encode(input, ids);
      require(tokenizer->decode(ids) == input, "a text is decoded as it was");
      continue;
    }
    TokenMeasures measures;
    int64_t bytes = tokenizer->encode(input, ids, measures);
    for (const int32_t length : measures.lengths) bytes += length;
    require(bytes == std::ssize(input), "the lengths add up to the text's");
    require(measures.unknown.size() == ids.size(), "every token has its measures");
    tokenizer->decode(ids);
  }
}

static std::vector<std::string> seeds() {
  return {"one two  two\r\nthree \xff\t<unk> three\n\n <eos> one",
          "Gr\xc3\xb6\xc3\x9f"
          "e\n"};
}

static const FuzzTarget target{"tokenizer_text", read_input, seeds};

}  // namespace moe
