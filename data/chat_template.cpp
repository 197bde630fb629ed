#include "data/chat_template.h"

#include <algorithm>
#include <filesystem>

#include "core/base/check.h"
#include "core/base/json_text.h"
#include "core/base/text.h"
#include "data/posix_file.h"

namespace moe {

constexpr std::string_view kReplier = "assistant";

// Templates by name, as JSON.
struct NamedTemplate {
  std::string_view name, json;
};
constexpr NamedTemplate kTemplates[] = {
    {"chatml", R"({"system": {"before": "<|im_start|>system\n", "after": "<|im_end|>\n"},
                   "user": {"before": "<|im_start|>user\n", "after": "<|im_end|>\n"},
                   "assistant": {"before": "<|im_start|>assistant\n", "after": "<|im_end|>\n"},
                   "tool": {"before": "<|im_start|>tool\n", "after": "<|im_end|>\n"}})"},
    {"roles", R"({"system": {"before": "System: ", "after": "\n\n"},
                  "user": {"before": "User: ", "after": "\n\n"},
                  "assistant": {"before": "Assistant: ", "after": "\n\n"}})"},
    {"plain", R"({"system": {}, "user": {}, "assistant": {}})"},
};

ChatTemplate::ChatTemplate(const std::string& name) {
  const auto* const known = std::find_if(std::begin(kTemplates), std::end(kTemplates),
                                         [&](const NamedTemplate& entry) { return entry.name == name; });
  const bool is_file = known == std::end(kTemplates);
  if (is_file && !std::filesystem::exists(name)) {
    std::vector<std::string> names;
    for (const NamedTemplate& entry : kTemplates) names.emplace_back(entry.name);
    raise<UsageError>("no chat template '{}': neither a file nor one of {}", name, join(names, ", "));
  }
  const Json json = parse_json_or_null(is_file ? read_text_file(name) : std::string(known->json));
  const auto text = [&](const Json& role, const char* key) {
    const Json* found = role.find(key);
    if (found && !found->is_string()) raise<DataError>("{}: '{}' of a role is no text", name, key);
    return found ? found->get<std::string>() : std::string();
  };
  if (json.is_object()) {
    for (const Json::Member& member : json.items()) {
      if (!member.value.is_object()) raise<DataError>("{}: the role '{}' is no object", name, member.key);
      roles_.push_back({member.key, text(member.value, "before"), text(member.value, "after")});
    }
  }
  const auto replies = [](const Role& role) { return role.name == kReplier; };
  if (std::none_of(roles_.begin(), roles_.end(), replies)) {
    raise<DataError>(
        "{}: no chat template; expected a JSON object with a member for each role, among them '{}': "
        "{{\"before\": ..., \"after\": ...}}",
        name, kReplier);
  }
}

Json ChatTemplate::to_json() const {
  Json json = Json::object();
  for (const Role& role : roles_) json[role.name] = {{"before", role.before}, {"after", role.after}};
  return json;
}

void ChatTemplate::append(std::string_view name, const Json* content, std::string& text) const {
  const auto role = std::find_if(roles_.begin(), roles_.end(), [&](const Role& entry) { return entry.name == name; });
  if (role == roles_.end()) raise<DataError>("a message of the role '{}', which the chat template does not have", name);
  if (!content || !content->is_string()) raise<DataError>("a message of the role '{}' without a text", name);
  const auto words = content->get<std::string>();
  if (words.find_first_of(kReplyMarks) != words.npos) {
    raise<DataError>("a message with the control character 2 or 3, which mark replies; remove it");
  }
  text += role->before;
  if (name == kReplier) text += kReplyBegins;
  text += words;
  text += role->after;
  if (name == kReplier) text += kReplyEnds;
}

std::string ChatTemplate::render(const Json& conversation) const {
  std::string text;
  if (const Json* messages = conversation.find("messages")) {
    if (!messages->is_array() || messages->empty()) raise<DataError>("'messages' is no array of messages");
    for (const Json& message : *messages) {
      const Json* role = message.is_object() ? message.find("role") : nullptr;
      if (!role || !role->is_string()) raise<DataError>("a message without a role");
      append(role->get<std::string>(), message.find("content"), text);
    }
    return text;
  }
  if (!conversation.is_object() || !conversation.contains("prompt") || !conversation.contains("completion")) {
    raise<DataError>("neither 'messages' nor 'prompt' and 'completion'");
  }
  append("user", conversation.find("prompt"), text);
  append(kReplier, conversation.find("completion"), text);
  return text;
}

}  // namespace moe
