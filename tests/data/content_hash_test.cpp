#include "data/content_hash.h"

#include "tests/support/catch.h"

namespace moe {

TEST_CASE("the content hash is XXH64") {
  CHECK(hash_of_text("") == "ef46db3751d8e999");
  CHECK(hash_of_text("a") == "d24ec4f1a98c6e5b");
  CHECK(hash_of_text("abc") == "44bc2cf5ad770999");
  CHECK(hash_of_text("Nobody inspects the spammish repetition") == "fbcea83c8a378bf1");
}

TEST_CASE("the content hash does not depend on how the input is split") {
  std::string text;
  for (int i = 0; i < 300; ++i) text += static_cast<char>(i * 7);
  for (size_t piece = 1; piece < 70; ++piece) {
    ContentHash hash;
    for (size_t begin = 0; begin < text.size(); begin += piece) {
      const std::string_view part = std::string_view(text).substr(begin, piece);
      hash.update(part.data(), static_cast<int64_t>(part.size()));
    }
    CHECK(format_hash(hash.value()) == hash_of_text(text));
  }
}

}  // namespace moe
