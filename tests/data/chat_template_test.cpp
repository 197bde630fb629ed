#include "data/chat_template.h"

#include <memory>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/base/integer.h"
#include "core/base/json_text.h"
#include "data/corpus_preparation.h"
#include "data/evaluation_windows.h"
#include "data/posix_file.h"
#include "tests/data/tiny_byte_pairs.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"

namespace moe {
namespace {

std::string rendered(const std::string& name, const std::string& conversation) {
  std::string text = ChatTemplate(name).render(parse_json(conversation));
  for (char& c : text) c = c == kReplyBegins ? '[' : c == kReplyEnds ? ']' : c;
  return text;
}

const char* const kMessages =
    R"({"messages": [{"role": "user", "content": "to be?"}, {"role": "assistant", "content": "not"}, )"
    R"({"role": "user", "content": "why"}, {"role": "assistant", "content": "abc"}]})";
const char* const kPair = R"({"prompt": "1 + 1 = ", "completion": "2"})";

}  // namespace

TEST_CASE("conversations are written by their template, with the replies marked") {
  CHECK(rendered("plain", kPair) == "1 + 1 = [2]");
  CHECK(rendered("roles", kMessages) == "User: to be?\n\nAssistant: [not\n\n]User: why\n\nAssistant: [abc\n\n]");
  CHECK(rendered("chatml", kPair) == "<|im_start|>user\n1 + 1 = <|im_end|>\n<|im_start|>assistant\n[2<|im_end|>\n]");
  const TemporaryFolder folder;
  write_text_file(folder / "mine.json", R"({"user": {"before": "Q "}, "assistant": {"before": " A ", "after": "."}})");
  CHECK(rendered(folder / "mine.json", kPair) == "Q 1 + 1 =  A [2.]");
}

TEST_CASE("what is no conversation or no template is refused") {
  const TemporaryFolder folder;
  CHECK_THROWS_WITH(ChatTemplate("alpaca"), Catch::Contains("chatml, roles, plain"));
  write_text_file(folder / "no.json", R"({"user": {}})");
  CHECK_THROWS_WITH(ChatTemplate(folder / "no.json"), Catch::Contains("among them 'assistant'"));
  CHECK_THROWS_WITH(rendered("plain", "{}"), Catch::Contains("neither 'messages' nor 'prompt'"));
  CHECK_THROWS_WITH(rendered("plain", R"({"messages": []})"), Catch::Contains("no array of messages"));
  CHECK_THROWS_WITH(rendered("plain", R"({"messages": [{"role": "judge", "content": ""}]})"), Catch::Contains("judge"));
  CHECK_THROWS_WITH(rendered("plain", R"({"messages": [{"role": "user"}]})"), Catch::Contains("without a text"));
  CHECK_THROWS_WITH(rendered("plain", R"({"prompt": "a", "completion": "\u0002"})"), Catch::Contains("control"));
}

TEST_CASE("of conversations only the replies and the mark after them are predicted") {
  const TemporaryFolder folder;
  std::string lines;
  for (int i = 0; i < 50; ++i) lines += std::string(i % 2 ? kMessages : kPair) + "\n";
  write_text_file(folder / "chats.jsonl", lines);
  PreparationOptions options;
  options.inputs = {folder / "chats.jsonl"};
  options.output = folder / "corpus";
  options.tokenizer = "bpe";
  options.vocabulary.vocabulary = write_tiny_byte_pairs(folder);
  options.end_of_document = true;
  options.field.chat = std::make_shared<const ChatTemplate>("roles");
  for (const char* split : {"1/0/0", "0.5/0.3/0.2"}) {
    INFO(split);
    options.split = split;
    options.force = true;
    prepare_corpus(options);
    const Corpus corpus = Corpus::open(folder / "corpus");
    corpus.verify();
    std::string learned;
    int64_t bytes = 0;
    for (const Split& part : corpus.splits()) {
      CHECK(part.has_scored());
      CHECK(part.raw_bytes() == part.raw_bytes(0, part.num_tokens()));
      for (const DocumentMode mode : {DocumentMode::joined, DocumentMode::separate, DocumentMode::fit}) {
        std::unique_ptr<EvaluationSet> set;
        if (mode == DocumentMode::fit) {
          set = std::make_unique<EvaluationDocuments>(part, 16, 16);
        } else {
          set = std::make_unique<EvaluationWindows>(part, 16, 16, 0, mode);
        }
        std::vector<int32_t> ids;
        Batch batch;
        for (int64_t i = 0; i < set->num_sequences(); ++i) {
          set->load(i, 1, batch);
          for (const int32_t target : batch.targets) {
            if (target != kIgnoreTarget) ids.push_back(target);
          }
        }
        CHECK(std::ssize(ids) == set->num_tokens());
        const std::string text = corpus.tokenizer().decode(ids);
        int64_t covered = 0;
        for (const int32_t id : ids) covered += (*corpus.tokenizer().bytes_by_id())[as_index(id)];
        CHECK(set->raw_bytes() == covered);
        if (mode != DocumentMode::joined) continue;
        learned += text;
        bytes += covered;
      }
    }
    const std::string mark = corpus.tokenizer().decode(std::vector<int32_t>{*corpus.tokenizer().end_of_document()});
    std::string expected;
    for (int i = 0; i < 50; ++i) expected += (i % 2 ? "not\n\nabc\n\n" : "2\n\n") + mark;
    if (split == std::string("1/0/0")) CHECK(learned == expected);
    CHECK(std::ssize(learned) >= std::ssize(expected) - 4);
    CHECK(bytes > 0);
  }
  options.entries = "lines", options.split = "";
  CHECK_THROWS_AS(prepare_corpus(options), UsageError);
}

}  // namespace moe
