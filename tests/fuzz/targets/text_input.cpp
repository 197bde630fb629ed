// Texts of a corpus: plain, JSON lines, columns or conversations, cut into pieces, lines and entries. The first byte
// chooses the entries, the form, and whether equal documents are left out.
#include <memory>

#include "data/chat_template.h"
#include "data/entry_format.h"
#include "tests/fuzz/fuzz_target.h"

namespace moe {

static int64_t bytes_in_pieces(const TextInput& input) {
  TextReader reader(input);
  int64_t total = 0;
  for (std::string_view piece; !(piece = reader.next_piece(100)).empty();) {
    require(piece.size() <= 100, "a piece is not longer than asked");
    total += std::ssize(piece);
  }
  return total;
}

static void read_input(std::string_view input) {
  if (input.empty()) return;
  const std::vector<EntryFormat> formats(entry_formats().begin(), entry_formats().end());
  const EntryFormat& format = formats[static_cast<unsigned char>(input[0]) % formats.size()];
  TextInputOptions options;
  options.documents = format.of_documents;
  const int form = static_cast<unsigned char>(input[0]) / 16;
  if (form % 4 == 1) options.field = {"b", true};
  if (form % 4 == 2) options.field.chat = std::make_shared<const ChatTemplate>("roles");
  options.deduplicate = form % 8 >= 4;
  const TextInput text({scratch_file("input", input.substr(1))}, options);
  require(bytes_in_pieces(text) == text.total_bytes(), "the pieces are the text");
  TextReader reader(text);
  format.read(reader, [&](std::string_view, int64_t offset) {
    require(offset >= 0 && offset <= text.total_bytes(), "an entry begins in the text");
  });
}

static std::vector<std::string> seeds() {
  std::vector<std::string> result;
  for (char format = 0; format < 4; ++format) {
    result.push_back(std::string(1, format) +
                     "one\ntwo\n\nthree four\r\n\n<p><ent>Abc</ent><def>x</def></p>\n\n<p><hw>A</hw>");
    result.push_back(std::string(1, format) +
                     "\xEF\xBB\xBF{\"text\": \"one\\ntwo\"}\n{\"text\": \"\"}\n{\"text\": \"\\u00e9\", \"n\": 1}\n");
  }
  result.push_back(
      "\x12"
      "a,b\n1,\"x\ny\"\n2,z\n");
  result.push_back(
      "\x12"
      "a\tb\n1\tx\n2\tx\n");
  result.push_back(
      "\x22"
      R"({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]})");
  result.push_back(
      "\x62"
      R"({"prompt": "a", "completion": "b"})"
      "\n"
      R"({"prompt": "a", "completion": "b"})");
  return result;
}

static const FuzzTarget target{"text_input", read_input, seeds};

}  // namespace moe
