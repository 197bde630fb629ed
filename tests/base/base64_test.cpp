#include "core/base/base64.h"

#include "core/base/error.h"
#include "tests/support/catch.h"

namespace moe {

TEST_CASE("base64 of RFC 4648 encodes and decodes") {
  const std::pair<std::string, std::string> known[] = {{"", ""},
                                                       {"f", "Zg=="},
                                                       {"fo", "Zm8="},
                                                       {"foo", "Zm9v"},
                                                       {"foob", "Zm9vYg=="},
                                                       {"fooba", "Zm9vYmE="},
                                                       {"foobar", "Zm9vYmFy"}};
  for (const auto& [bytes, text] : known) {
    CHECK(to_base64(bytes) == text);
    CHECK(from_base64(text) == bytes);
  }
  std::string all;
  for (int i = 0; i < 256; ++i) all += static_cast<char>(i);
  CHECK(from_base64(to_base64(all)) == all);
  for (const char* bad : {"Zg", "Zg=", "Z===", "Zm9*", "=Zm9", "Zg==Zg=="})
    CHECK_THROWS_AS(from_base64(bad), DataError);
}

}  // namespace moe
