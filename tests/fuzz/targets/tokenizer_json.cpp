// The description of a tokenizer in corpus.json and in checkpoints.
#include "core/base/check.h"
#include "core/base/json_text.h"
#include "data/tokenizer.h"
#include "data/tokenizers/character.h"
#include "data/tokenizers/word.h"
#include "tests/fuzz/fuzz_target.h"

namespace moe {

static void read_input(std::string_view input) {
  const auto files = parts(input, 2);
  const auto tokenizer = load_tokenizer(parse_json_or_null(files[0]), "corpus.json");
  tokenizer->to_json();
  tokenizer->end_of_document();
  if (const auto bytes = tokenizer->bytes_by_id()) {
    require(std::ssize(*bytes) == tokenizer->vocab_size(), "every id has a length");
  }
  std::vector<int32_t> ids;
  tokenizer->encode(files[1], ids);
  for (const int32_t id : ids) require(id >= 0 && id < tokenizer->vocab_size(), "an id is of the vocabulary");
  tokenizer->decode(ids);
}

static std::vector<std::string> seeds() {
  std::vector<std::string> result;
  const TrainingText text = [](const TextVisitor& visit) { visit("one two two\nthree \xff three two one\n"); };
  for (const char* name : {"byte", "char", "word"}) {
    const auto tokenizer = tokenizers().at(name).make(text, {});
    result.push_back(joined({json_text(tokenizer->to_json()), "one two four\n"}));
  }
  result.push_back(joined({R"({"name": "external", "vocab_size": 50257})", ""}));
  result.push_back(joined({R"({"name": "bpe", "tokens": ["a", "b", "ab"], "merges": ["a b"]})", "ab"}));
  const auto add_pipeline = [&](const char* file) {
    result.push_back(joined({fmt::format(R"({{"name": "huggingface", "file": {}}})", file), "a b<s>\xff ab\xc3\xa9"}));
  };
  add_pipeline(R"({"model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2, "<0xC3>": 3, "<unk>": 4, "\u2581": 5},
                   "merges": ["a b"], "byte_fallback": true, "unk_token": "<unk>", "fuse_unk": true},
                   "normalizer": {"type": "Sequence", "normalizers": [{"type": "NFKC"}, {"type": "Prepend",
                   "prepend": "\u2581"}, {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}]},
                   "decoder": {"type": "Sequence", "decoders": [{"type": "ByteFallback"}, {"type": "Fuse"}]},
                   "added_tokens": [{"id": 6, "content": "<s>", "special": false, "lstrip": true}]})");
  add_pipeline(R"({"model": {"type": "WordPiece", "vocab": {"[UNK]": 0, "a": 1, "##b": 2}, "unk_token": "[UNK]"},
                   "normalizer": {"type": "BertNormalizer"}, "pre_tokenizer": {"type": "BertPreTokenizer"},
                   "decoder": {"type": "WordPiece"}})");
  add_pipeline(R"({"model": {"type": "Unigram", "vocab": [["<unk>", 0], ["\u2581a", -1], ["b", -2.5]], "unk_id": 0},
                   "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"},
                   {"type": "Split", "pattern": {"Regex": "\\p{L}+"}, "behavior": "MergedWithNext"},
                   {"type": "Metaspace", "replacement": "\u2581"}]}})");
  result.push_back(joined({R"({"name": "tiktoken", "pattern": "\\S+", "tokens": ["a", "b", "ab"]})", "ab"}));
  return result;
}

static const FuzzTarget target{"tokenizer_json", read_input, seeds};

}  // namespace moe
