#include "core/generate/text_output.h"

#include <string>
#include <vector>

#include "data/tokenizers/byte.h"
#include "tests/support/catch.h"

using namespace moe;

namespace {

std::vector<int32_t> bytes_of(const std::string& text) {
  std::vector<int32_t> ids;
  for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
  return ids;
}

// What is shown after each byte of `text`, and at the end.
std::vector<std::string> shown_for(const std::string& text, const std::vector<std::string>& stops,
                                   std::string* whole = nullptr) {
  const ByteTokenizer tokenizer;
  TextOutput output(tokenizer, bytes_of("a prompt"), stops);
  std::vector<std::string> shown;
  for (const int32_t id : bytes_of(text)) {
    shown.push_back(output.add(id));
    if (output.has_stopped()) break;
  }
  shown.push_back(output.rest());
  if (whole) *whole = output.text();
  return shown;
}

using Texts = std::vector<std::string>;

}  // namespace

TEST_CASE("written text is shown in whole characters") {
  CHECK(shown_for("aé", {}) == Texts({"a", "", "é", ""}));
  CHECK(shown_for("€x", {}) == Texts({"", "", "€", "x", ""}));
  CHECK(shown_for("😀", {}) == Texts({"", "", "", "😀", ""}));
  // What never becomes a character is shown at the end.
  CHECK(shown_for("a\xE2\x82", {}) == Texts({"a", "", "", "\xE2\x82"}));
  CHECK(shown_for("\xFFz", {}).back().empty());
}

TEST_CASE("written text ends before the first stop string") {
  std::string whole;
  CHECK(shown_for("one\n\ntwo", {"\n\n"}, &whole) == Texts({"o", "n", "e", "", "", ""}));
  CHECK(whole == "one");
  // What may become a stop string is held back until it does not.
  CHECK(shown_for("a##b", {"###"}, &whole) == Texts({"a", "", "", "##b", ""}));
  CHECK(whole == "a##b");
  CHECK(shown_for("a##", {"###"}) == Texts({"a", "", "", "##"}));
  CHECK(shown_for("xyz", {"yz", "xyz"}, &whole).back().empty());
  CHECK(whole.empty());
  CHECK(shown_for("abab!", {"ab!"}, &whole).back().empty());
  CHECK(whole == "ab");
}

TEST_CASE("a stop string is not looked for in the prompt") {
  const ByteTokenizer tokenizer;
  TextOutput output(tokenizer, bytes_of("to be or"), {"or n"});
  for (const int32_t id : bytes_of(" not")) output.add(id);
  CHECK_FALSE(output.has_stopped());
  CHECK(output.text() == " not");
}
