#include "core/base/json_text.h"
#include "core/convert/hf_tokenizer.h"
#include "data/posix_file.h"
#include "data/tokenizer.h"
#include "tests/data/golden_tokenizers.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"

namespace moe {

static ImportedTokenizer imported(const Json& file, int64_t rows) {
  const TemporaryFolder folder;
  write_text_file(folder / "tokenizer.json", json_text(file));
  return imported_tokenizer(folder.path(), rows);
}

#if MOE_HAS_ICU

TEST_CASE("a model's tokenizer.json becomes a tokenizer of the run, and is exported as it was") {
  for (const char* name : {"llama3", "qwen", "deepseek"}) {
    INFO(name);
    const Json file = golden_tokenizer(name).at("file");
    const ImportedTokenizer tokenizer = imported(file, 1000);
    CHECK(tokenizer.why_external.empty());
    CHECK(tokenizer.description.at("name").get<std::string>() == "huggingface");
    CHECK(tokenizer.tokens == load_tokenizer(tokenizer.description, "test")->vocab_size());
    const HfTokenizer exported = hf_tokenizer(tokenizer.description, 128);
    CHECK(exported.refusal.empty());
    CHECK(exported.tokenizer == file);
    CHECK(exported.end_id == exported.pad_id);
    CHECK(exported.config.at("eos_token").get<std::string>() == "<|endoftext|>");
    CHECK(exported.config.at("split_special_tokens").get<bool>());
  }
}

TEST_CASE("a tokenizer.json of one of our own kinds becomes that kind") {
  CHECK(imported(golden_tokenizer("gpt2").at("file"), 1000).description.at("name").get<std::string>() == "bpe");
}

#endif

TEST_CASE("a tokenizer.json that is not supported, or that has more ids than the model, is external with the reason") {
  Json file = golden_tokenizer("llama3").at("file");
  CHECK_THAT(imported(file, 20).why_external, Catch::Contains("the model 20") || Catch::Contains("without ICU"));
  file["normalizer"] = {{"type", "Nmt"}};
  const ImportedTokenizer tokenizer = imported(file, 1000);
  CHECK(tokenizer.description.at("name").get<std::string>() == "external");
  CHECK_THAT(tokenizer.why_external, Catch::Contains("Nmt") || Catch::Contains("without ICU"));
}

}  // namespace moe
