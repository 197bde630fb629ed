// Writes conversations as texts, of which a model learns the replies.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "core/base/json.h"

namespace moe {

// Marks in a rendered conversation: between them is what a model learns to write. They are no part of the text.
constexpr char kReplyBegins = '\x02', kReplyEnds = '\x03';
constexpr std::string_view kReplyMarks = "\x02\x03";

class ChatTemplate {
 public:
  // `name`: chatml, roles, plain, or a file of JSON, an object with a member for each role:
  // {"user": {"before": "...", "after": "..."}, "assistant": ...}. Throws UsageError for another name, and DataError
  // for a file that is no template.
  explicit ChatTemplate(const std::string& name);

  // `conversation`: an object with `messages`, an array of objects with a role and a content, or with a `prompt` and a
  // `completion`, which are messages of the user and of the assistant. The assistant's contents, with what the template
  // writes after them, are replies. Throws DataError, which says what is wrong, for anything else.
  std::string render(const Json& conversation) const;

  Json to_json() const;

 private:
  struct Role {
    std::string name, before, after;
  };
  void append(std::string_view role, const Json* content, std::string& text) const;

  std::vector<Role> roles_;
};

}  // namespace moe
